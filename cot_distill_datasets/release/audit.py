"""`cot-distill audit DIR`: read a release back, count its rows, and report each broken promise of its edition.

It writes `audit.json` and `audit.md` into the release. Dropped rows are gone, so their counts, and the flags and the
agreement of the rows read, are repeated from `release.json`. Everything else is computed from the Parquet files.
"""

import dataclasses
import json
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_write, locked
from ..messages import progress
from ..names import DEFAULT_FORMAT, eval_config
from ..schema import Row
from ..templates import render_page
from .config_files import is_unchanged, mean_lengths
from .folder import INDEX, SCHEMA, ConfigStats, Release, read_release, require_release
from .overlap import NEAR, NGRAM, SHINGLE, OtherTests, Overlap, find_overlap
from .selection import violations


AUDIT, PAGE = "audit.json", "audit.md"


@dataclass(frozen=True)
class ConfigAudit:
    """The counts of one config."""

    stats: ConfigStats
    mean_words: float
    mean_steps: float
    in_test: int = 0  # rows whose question is in a test split
    stem_in_test: int = 0  # rows whose question is in one without its options
    ngram_in_test: int = 0  # rows that share 13 words in a row with a test question
    near_test: int = 0  # rows that resemble a test question of their benchmark
    exact_duplicates: int = 0  # rows whose question an earlier row has
    near_duplicates: int = 0  # rows whose question resembles another one of the config


@dataclass(frozen=True)
class Comparison:
    """The levels of one teacher and benchmark side by side."""

    teacher: str
    benchmark: str
    words: dict[str, float]  # level → mean words of a rationale
    steps: dict[str, float]
    not_longer: list[str]  # levels that have no more words than the level before
    shared: int  # questions that every level has
    questions: int  # questions that any level has


@dataclass(frozen=True)
class Audit:
    """The verdict and its evidence."""

    release: str  # sha256 of release.json: which release was audited
    edition: str
    parser: str
    libraries: dict[str, str]
    method: dict[str, float]
    unchecked: list[str]
    broken: list[str]
    configs: list[ConfigAudit]
    comparisons: list[Comparison]
    flagged: dict[str, list[str]]  # `stem`, `ngram`, `near` → ids of training questions that touch a test split


def audit(folder: Path) -> Audit:
    """Audit the release in `folder` and write its `audit.json` and `audit.md`.

    Raises CotDistillError if there is no release in `folder`, or another process is writing or publishing it.
    """
    require_release(folder)  # before the lock creates a file beside a folder that is not a release
    with locked(folder):  # a build would replace the folder during the audit
        return _audit(folder, require_release(folder))


def _audit(folder: Path, release: Release) -> Audit:
    broken: list[str] = []
    questions: dict[str, list[Row]] = {}
    lengths: dict[str, tuple[float, float]] = {}
    tests = {stats.name: _read(stats, folder, broken) for stats in release.configs if stats.split == "test"}
    test_ids = {row["id"] for row in chain.from_iterable(tests.values())}
    others = {name: _other_tests(name, tests) for name in release.own_benchmarks}
    for stats in progress(release.configs, "Auditing configs"):
        rows = tests[stats.name] if stats.name in tests else _read(stats, folder, broken)
        if len(rows) != stats.rows:
            broken.append(f"{stats.name}: has {len(rows)} rows, release.json says {stats.rows}.")
        if stats.split == "test":
            broken += violations(stats.name, rows, None, test_ids)
        else:
            name, edition = stats.config.benchmark, release.edition
            kind = release.benchmark(name).answer_kind
            broken += violations(stats.name, rows, edition, test_ids, kind=kind, others=others.get(name))
        questions[stats.name] = [{key: row[key] for key in ("id", "question", "choices")} for row in rows]
        lengths[stats.name] = mean_lengths(rows)
        if lengths[stats.name] != (stats.mean_words, stats.mean_steps):
            broken.append(f"{stats.name}: the mean length of its rationales is not the one in release.json.")
    broken += _missing_tests(release)
    overlap = find_overlap(list(chain.from_iterable(tests.values())), chain.from_iterable(questions.values()))
    if release.edition.aligned:
        broken += _misaligned(release, questions)
    result = Audit(
        release_hash(folder), release.edition.name, release.parser,
        {name: version(name) for name in ("cot-distill", "math-verify", "datasketch")},
        {"ngram_words": NGRAM, "shingle_words": SHINGLE, "near_jaccard": NEAR},
        release.unchecked, broken,
        [_count(stats, questions[stats.name], lengths[stats.name], overlap) for stats in release.training],
        _comparisons(release, questions, lengths), overlap.flagged(),
    )  # fmt: skip
    atomic_write(folder / AUDIT, json.dumps(dataclasses.asdict(result), indent=1) + "\n")
    atomic_write(folder / PAGE, render_page("audit.md.jinja", audit=result, release=release))
    return result


def _other_tests(own: str, tests: dict[str, list[Row]]) -> OtherTests:
    return OtherTests(row for name, rows in tests.items() if name != eval_config(own) for row in rows)


def release_hash(folder: Path) -> str:
    """Return the hash of a release's index, which names every data file by the hash of its content."""
    return sha256((folder / INDEX).read_bytes()).hexdigest()


def _read(stats: ConfigStats, folder: Path, broken: list[str]) -> list[Row]:
    """Return the rows of a config's file. If it is not the file that was built, return none and extend `broken`."""
    path = folder / stats.file
    try:
        content = path.read_bytes()
        table = pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowInvalid) as error:
        broken.append(f"{stats.name}: cannot read {stats.file}: {error}.")
        return []
    if not is_unchanged(path, content) or table.schema != SCHEMA or table.schema.metadata:
        broken.append(f"{stats.name}: {stats.file} is not the file that was built.")
        return []
    return list(table.to_pylist())


def _count(stats: ConfigStats, rows: list[Row], lengths: tuple[float, float], overlap: Overlap) -> ConfigAudit:
    ids = [row["id"] for row in rows]
    present = set(ids)
    return ConfigAudit(
        stats,
        *lengths,
        in_test=sum(id_ in overlap.test_ids for id_ in ids),
        stem_in_test=sum(id_ in overlap.same_stem_ids for id_ in ids),
        ngram_in_test=sum(id_ in overlap.shared_ngram_ids for id_ in ids),
        near_test=sum(not overlap.near.get(id_, set()).isdisjoint(overlap.test_ids) for id_ in ids),
        exact_duplicates=len(ids) - len(present),
        near_duplicates=sum(not overlap.near.get(id_, set()).isdisjoint(present) for id_ in ids),
    )


def _comparisons(
    release: Release, questions: dict[str, list[Row]], lengths: dict[str, tuple[float, float]]
) -> list[Comparison]:
    """Compare the plain CoT configs of each teacher and benchmark, from the tersest level to the finest."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # level → name of its config
    for stats in release.training:
        config = stats.config
        if config.granularity and config.format == DEFAULT_FORMAT:
            groups[config.teacher, config.benchmark][f"l{config.granularity}"] = stats.name
    comparisons = []
    for (teacher, benchmark), levels in groups.items():
        if len(levels) > 1:
            ids = [{row["id"] for row in questions[name]} for name in levels.values()]
            words, steps = ({level: lengths[name][i] for level, name in levels.items()} for i in (0, 1))
            not_longer = [finer for coarser, finer in pairwise(words) if words[finer] <= words[coarser]]
            shared, questions_of_any = len(set.intersection(*ids)), len(set.union(*ids))
            comparisons.append(Comparison(teacher, benchmark, words, steps, not_longer, shared, questions_of_any))
    return comparisons


def _missing_tests(release: Release) -> list[str]:
    """Return one sentence per benchmark that could not be checked for leaks."""
    if not release.training:
        return ["The release has no training config."]
    if release.edition.keeps_test_questions:
        return []
    tested = {stats.name for stats in release.configs if stats.split == "test"}
    checked = {*release.unchecked, *release.own_benchmarks}  # an own benchmark need not have a test split
    benchmarks = {stats.config.benchmark for stats in release.training} - checked
    return [
        f"{benchmark}: there is no `{eval_config(benchmark)}`, so its rows cannot be checked for leaks."
        for benchmark in sorted(benchmarks)
        if eval_config(benchmark) not in tested
    ]


def _misaligned(release: Release, questions: dict[str, list[Row]]) -> list[str]:
    orders: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for stats in release.training:
        orders[stats.config.teacher, stats.config.benchmark].add(tuple(row["id"] for row in questions[stats.name]))
    return [
        f"{teacher} on {benchmark}: its configs do not have the same questions in the same order."
        for (teacher, benchmark), different in orders.items()
        if len(different) > 1
    ]


def passed(folder: Path) -> bool:
    """Whether the release in `folder` passed its audit and has not changed since."""
    try:
        report: Any = json.loads((folder / AUDIT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    release = read_release(folder)
    if release is None or not isinstance(report, dict) or report.get("broken") != []:
        return False
    if report.get("release") != release_hash(folder):
        return False
    files = [folder / stats.file for stats in release.configs]
    return all(path.is_file() and is_unchanged(path, path.read_bytes()) for path in files)

"""`cot-distill audit DIR`: read a release back, count what is in it, and say which promise of its edition is broken.

It writes `audit.json` and `audit.md` into the release. What was dropped, and the flags and the agreement of the rows
read, is repeated from `release.json`, since the dropped rows are gone; all else is computed from the Parquet files.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .cards import render_page
from .folders import locked, write_whole
from .overlap import NEAR, NGRAM, SHINGLE, Overlap, find_overlap
from .progress import track
from .release import INDEX, ConfigStats, Release, existing_release, is_as_written, mean_lengths, read_release
from .rules import broken_rules
from .schema import FEATURES, Row
from .taxonomy import ConfigName, eval_config


AUDIT, PAGE = "audit.json", "audit.md"


@dataclass(frozen=True)
class ConfigAudit:
    """What was found in the rows of one config."""

    stats: ConfigStats
    mean_words: float
    mean_steps: float
    in_test: int = 0  # the question is in a test split
    stem_in_test: int = 0  # only without its options
    ngram_in_test: int = 0  # shares 13 words in a row with a question of a test split
    near_test: int = 0  # resembles a question of its benchmark's test split
    exact_duplicates: int = 0  # rows whose question the config has already
    near_duplicates: int = 0  # rows whose question resembles another one of the config


@dataclass(frozen=True)
class Comparison:
    """The levels of one teacher and benchmark, beside each other."""

    teacher: str
    benchmark: str
    words: dict[str, float]  # level → mean words of a rationale
    steps: dict[str, float]
    not_longer: list[str]  # levels that are not longer than the one before, in words
    shared: int  # questions that every level has
    questions: int  # questions that any level has


@dataclass(frozen=True)
class Audit:
    """The verdict, and all it stands on."""

    release: str  # sha256 of release.json: which release this is the audit of
    edition: str
    parser: str
    libraries: dict[str, str]
    method: dict[str, float]
    unchecked: list[str]
    broken: list[str]
    configs: list[ConfigAudit]
    comparisons: list[Comparison]
    flagged: dict[str, list[str]]  # `stem`, `ngram`, `near` → ids of training questions that touch a test split so


def audit(folder: Path) -> Audit:
    """Audit the release in `folder` and write its `audit.json` and `audit.md`.

    Raises:
        CotDistillError: there is no release in `folder`, or it is being written or published now.
    """
    existing_release(folder)  # before a lock is laid beside something else
    with locked(folder):  # a build would change it under our hands
        return _audit(folder, existing_release(folder))


def _audit(folder: Path, release: Release) -> Audit:
    broken: list[str] = []
    rows_of: dict[str, list[Row]] = {}
    lengths: dict[str, tuple[float, float]] = {}
    read_tests = {stats.name: _read(stats, folder, broken) for stats in release.configs if stats.split == "test"}
    tests = list(chain.from_iterable(read_tests.values()))
    test_ids = {row["id"] for row in tests}
    for stats in track(release.configs, description="Auditing configs"):
        rows = read_tests[stats.name] if stats.name in read_tests else _read(stats, folder, broken)
        broken += broken_rules(stats, rows, release.edition, test_ids)
        rows_of[stats.name] = [{key: row[key] for key in ("id", "question", "choices")} for row in rows]
        lengths[stats.name] = mean_lengths(rows)
        if lengths[stats.name] != (stats.mean_words, stats.mean_steps):
            broken.append(f"{stats.name}: its rationales have not the mean length that release.json says.")
    broken += _untested(release)
    overlap = find_overlap(tests, chain.from_iterable(rows_of.values()))
    if release.edition == "aligned":
        broken += _unaligned(release, rows_of)
    done = Audit(
        release_hash(folder), release.edition, release.parser,
        {name: version(name) for name in ("cot-distill", "math-verify", "datasketch")},
        {"ngram_words": NGRAM, "shingle_words": SHINGLE, "near_jaccard": NEAR},
        release.unchecked, broken,
        [_counted(stats, rows_of[stats.name], lengths[stats.name], overlap) for stats in release.training],
        _comparisons(release, rows_of, lengths), overlap.flagged(),
    )  # fmt: skip
    write_whole(folder / AUDIT, json.dumps(dataclasses.asdict(done), indent=1) + "\n")
    write_whole(folder / PAGE, render_page("audit.md.jinja", audit=done, release=release))
    return done


def release_hash(folder: Path) -> str:
    """Return the hash of a release's index, which names every data file by the hash of its content."""
    return sha256((folder / INDEX).read_bytes()).hexdigest()


def _read(stats: ConfigStats, folder: Path, broken: list[str]) -> list[Row]:
    """Return the rows of a config's file, none where it is not the file that was written; `broken` then says why."""
    path = folder / stats.file
    try:
        content = path.read_bytes()
        table = pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowInvalid) as error:
        broken.append(f"{stats.name}: {stats.file} cannot be read: {error}.")
        return []
    if not is_as_written(path, content) or table.schema != FEATURES.arrow_schema:
        broken.append(f"{stats.name}: {stats.file} is not the file that was built.")
        return []
    rows: list[Row] = table.to_pylist()
    return rows


def _counted(stats: ConfigStats, rows: list[Row], lengths: tuple[float, float], overlap: Overlap) -> ConfigAudit:
    ids = [row["id"] for row in rows]
    present = set(ids)
    return ConfigAudit(
        stats,
        *lengths,
        in_test=sum(id_ in overlap.test_ids for id_ in ids),
        stem_in_test=sum(id_ in overlap.stems for id_ in ids),
        ngram_in_test=sum(id_ in overlap.ngrams for id_ in ids),
        near_test=sum(not overlap.near.get(id_, set()).isdisjoint(overlap.test_ids) for id_ in ids),
        exact_duplicates=len(ids) - len(present),
        near_duplicates=sum(not overlap.near.get(id_, set()).isdisjoint(present) for id_ in ids),
    )


def _levels(release: Release) -> dict[tuple[str, str], dict[str, ConfigStats]]:
    """Return, by teacher and benchmark, the configs of its levels, from tersest to finest; formats are left out."""
    levels: dict[tuple[str, str], dict[str, ConfigStats]] = defaultdict(dict)
    for stats in release.training:
        config = ConfigName.parse(stats.name)
        if config.granularity and config.format == "cot":
            levels[config.teacher, config.benchmark][f"l{config.granularity}"] = stats
    return {key: found for key, found in levels.items() if len(found) > 1}


def _comparisons(
    release: Release, rows_of: dict[str, list[Row]], lengths_of: dict[str, tuple[float, float]]
) -> list[Comparison]:
    compared = []
    for (teacher, benchmark), levels in _levels(release).items():
        ids = [{row["id"] for row in rows_of[stats.name]} for stats in levels.values()]
        lengths = {level: lengths_of[stats.name][0] for level, stats in levels.items()}
        compared.append(
            Comparison(
                teacher,
                benchmark,
                lengths,
                {level: lengths_of[stats.name][1] for level, stats in levels.items()},
                [finer for coarser, finer in pairwise(lengths) if lengths[finer] <= lengths[coarser]],
                shared=len(set.intersection(*ids)),
                questions=len(set.union(*ids)),
            )
        )
    return compared


def _untested(release: Release) -> list[str]:
    """Return a sentence for each benchmark of which nobody can say that no row is in its test split."""
    if not release.training:
        return ["The release has no training config."]
    tested = {stats.name for stats in release.configs if stats.split == "test"}
    benchmarks = {ConfigName.parse(stats.name).benchmark for stats in release.training} - set(release.unchecked)
    return [
        f"{benchmark}: there is no `{eval_config(benchmark)}`, so that its rows cannot be checked for leaks."
        for benchmark in sorted(benchmarks)
        if release.edition != "paper" and eval_config(benchmark) not in tested
    ]


def _unaligned(release: Release, rows_of: dict[str, list[Row]]) -> list[str]:
    groups: dict[tuple[str, str], Counter[tuple[str, ...]]] = defaultdict(Counter)
    for stats in release.training:
        config = ConfigName.parse(stats.name)
        groups[config.teacher, config.benchmark][tuple(row["id"] for row in rows_of[stats.name])] += 1
    return [
        f"{teacher} on {benchmark}: its configs do not have the same questions in the same order."
        for (teacher, benchmark), orders in groups.items()
        if len(orders) > 1
    ]


def passed(folder: Path) -> bool:
    """Whether the release in `folder` was audited, keeps its promises, and lies there as it was then."""
    try:
        found: dict[str, Any] = json.loads((folder / AUDIT).read_text())
    except (OSError, ValueError):
        return False
    release = read_release(folder)
    if release is None or found["broken"] or found["release"] != release_hash(folder):
        return False
    files = [folder / stats.file for stats in release.configs]
    return all(path.is_file() and is_as_written(path, path.read_bytes()) for path in files)

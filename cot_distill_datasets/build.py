"""Build a release folder: typed rows from `arith` and from the paper's files, leaks and contradictions taken out.

cot-distill build
cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

from datasets import Dataset, load_dataset
from rich.progress import track

from . import arith, upstream
from .benchmarks import BENCHMARKS, EvalItem, read_test_split
from .cards import write_dataset_card
from .folders import replaced_folder
from .release import RELEASE_NAME, Release, check_out, clean, read_release, write_config, write_index
from .schema import Row, cot_row, eval_row
from .taxonomy import FORMATS, GRANULARITIES, ConfigName, CotDistillError, eval_config, nearest


FORMAT_GRANULARITIES = (3, 5)  # the paper compares formats at the levels that suit its students

Readers = dict[ConfigName, Callable[[], list[Row]]]


@dataclass
class _Sources:
    """What can be read, a reader for each config, and what cannot."""

    readers: Readers
    absent: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    later: list[str] = field(default_factory=list)


def build(
    out: Path, upstream_folder: Path | None = None, benchmarks_folder: Path | None = None, *, strict: bool = False
) -> Release:
    """Write the release folder `out` in the `clean` edition, in one swap.

    It holds `arith`, and what the two folders have of the other benchmarks. A file that cannot be read is named in
    `Release.left_out` and the rest is written; `strict` refuses instead, also where a file is absent.

    Raises:
        CotDistillError: an input folder is missing, `out` holds something else, or `strict` and not all can be read.
    """
    check_out(out)
    tests = _test_splits(benchmarks_folder)
    sources = _Sources(_arith_readers())
    if upstream_folder:
        _add_upstream(sources, upstream_folder, tests)
    with replaced_folder(out) as staged:
        configs, test_ids = [], {}
        for benchmark, items in tests.items():
            rows = [eval_row(benchmark, item) for item in items]
            test_ids[benchmark] = {row["id"] for row in rows}
            configs.append(write_config(eval_config(benchmark), "test", rows, staged))
        for config in track(sorted(sources.readers), description="Writing configs"):
            try:
                rows, left_out = clean(sources.readers[config](), test_ids[config.benchmark])
                stats = write_config(str(config), "train", rows, staged)
                configs.append(dataclasses.replace(stats, **left_out))
            except CotDistillError as error:
                sources.left_out[str(config)] = str(error)
        if strict and (sources.left_out or sources.absent):
            missing = [*sources.left_out.values(), *(f"{name}: is absent." for name in sources.absent)]
            raise CotDistillError(f"Refused for {len(missing)} reasons (--strict): {' '.join(missing)}")
        release = Release(version("cot-distill"), "clean", configs, sources.absent, sources.left_out, sources.later)
        write_dataset_card(release, staged)
        write_index(release, staged)
    return release


def load_training_rows(name: str, config: str) -> Dataset:
    """Return the training rows of a config, from the release folder `name` or the Hub dataset `name`.

    Where nothing was built yet under the release's own name, a config of `arith` is built first.

    Raises:
        CotDistillError: the release has no such config, or there is neither a folder nor a Hub dataset of that name.
    """
    parsed, release = ConfigName.parse(config), read_release(Path(name))
    if release is None and name == RELEASE_NAME and parsed.benchmark == "arith":
        release = build(Path(name))
    if release is not None:
        known = [stats.name for stats in release.training]
        if str(parsed) not in known:
            raise CotDistillError(f"{name} has no config {config!r}: use {nearest(str(parsed), known)}.")
    try:
        return load_dataset(name, str(parsed), split="train")
    except OSError as error:  # not found, or the Hub cannot be reached
        raise CotDistillError(
            f"There is no release in {name}, and the Hub does not give `{parsed}`: run `cot-distill build` first."
        ) from error


def _test_splits(folder: Path | None) -> dict[str, list[EvalItem]]:
    if folder and not folder.is_dir():
        raise CotDistillError(f"There is no folder {folder}: --benchmarks takes the folder of the test sets.")
    found = {name: read_test_split(name, folder) for name in BENCHMARKS} if folder else {}
    return {"arith": arith.eval_items()} | {name: items for name, items in found.items() if items}


def _arith_readers() -> Readers:
    problems, _ = arith.splits()
    configs = [ConfigName("answer", 0, "cot", "arith")]
    for format_ in FORMATS:
        granularities = GRANULARITIES if format_ == "cot" else FORMAT_GRANULARITIES
        configs += [ConfigName("oracle", granularity, format_, "arith") for granularity in granularities]
    return {config: partial(_arith_rows, config, problems) for config in configs}


def _arith_rows(config: ConfigName, problems: list[arith.Problem]) -> list[Row]:
    solve = partial(arith.rationale, granularity=config.granularity, format=config.format)
    made = (
        cot_row(
            config,
            problem.question,
            [],
            problem.answer,
            rationale=solve(problem) if config.granularity else None,
            teacher_answer=problem.answer,
            source=f"arith/train#{index}",
        )
        for index, problem in enumerate(problems)
    )
    return [row for row in made if row is not None]


def _add_upstream(sources: _Sources, folder: Path, tests: dict[str, list[EvalItem]]) -> None:
    """Add a reader for every config of the manifest whose file is there; a config takes its golds by question id."""
    data = upstream.data_folder(folder)
    golds: dict[str, dict[str, str]] = {}
    entries = upstream.read_manifest(data)
    for entry in sorted(entries, key=lambda entry: entry.config.teacher != "answer"):  # the golds first
        benchmark = entry.config.benchmark
        try:
            if benchmark not in BENCHMARKS:
                sources.later.append(str(entry.config))
            elif not upstream.file_of(entry, data).is_file():
                sources.absent.append(entry.file_name)
            elif benchmark not in tests:  # nobody can say which rows leak it
                sources.left_out[str(entry.config)] = f"{entry.config}: --benchmarks has no test split of {benchmark}."
            else:
                if entry.config.teacher == "answer":
                    golds[benchmark] = upstream.read_golds(entry, data)
                sources.readers[entry.config] = partial(upstream.read_rows, entry, data, golds.get(benchmark, {}))
        except CotDistillError as error:
            sources.left_out[str(entry.config)] = str(error)

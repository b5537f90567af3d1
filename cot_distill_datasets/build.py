"""Build a release folder: typed rows from `arith` and from the paper's files, leaks and contradictions taken out.

cot-distill build
cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

from . import arith, manifest, upstream
from .answers import PARSER
from .benchmarks import BENCHMARKS, TEST_SPLITS, EvalItem, benchmark_of
from .cards import write_dataset_card
from .editions import EvalQuestions, clean_ids, eval_questions, select
from .eval_splits import read_test_splits
from .folders import replaced_folder
from .progress import track
from .release import ConfigStats, Release, check_out, write_config, write_index
from .schema import Read, cot_row, eval_row
from .taxonomy import FORMATS, GRANULARITIES, ConfigName, CotDistillError, eval_config


FORMAT_GRANULARITIES = (3, 5)  # the paper compares formats at the levels that suit its students

Readers = dict[ConfigName, Callable[[], Read]]


@dataclass
class _Sources:
    """What can be read, a reader for each config, and what cannot."""

    readers: Readers
    absent: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)


def build(
    out: Path,
    upstream_source: str | Path | None = None,
    benchmarks: Path | None = None,
    *,
    edition: str = "clean",
    strict: bool = False,
    unchecked: bool = False,
) -> Release:
    """Write the release folder `out` in one edition, in one swap.

    It holds `arith`, and what the paper's release (a checkout, or its URL) and the folder of test sets have of the
    other benchmarks. A file that cannot be read is named in `Release.left_out` and the rest is written; `strict`
    refuses instead, also where a file is absent. A benchmark without a test split has no clean edition, unless
    `unchecked`.

    Raises:
        CotDistillError: an input folder is missing, `out` holds something else, or `strict` and not all can be read.
    """
    check_out(out, edition)
    if benchmarks and not benchmarks.is_dir():
        raise CotDistillError(f"There is no folder {benchmarks}: --benchmarks takes the folder of the test sets.")
    with ExitStack() as stack:
        checkout = stack.enter_context(manifest.checkout(str(upstream_source))) if upstream_source else None
        data = manifest.data_folder(checkout) if checkout else None
        names = TEST_SPLITS if checkout or benchmarks else ["arith"]
        splits = read_test_splits(names, benchmarks, checkout, hub=checkout is not None)
        sources = _Sources(_arith_readers())
        if data:
            needed = BENCHMARKS if edition == "paper" or unchecked else splits
            _add_upstream(sources, data, needed, own_text=edition == "paper")
            sources.unchecked = {config.benchmark for config in sources.readers} - set(splits)
        _refuse_if(strict, sources)
        staged = stack.enter_context(replaced_folder(out))
        configs = [_write_split(name, items, staged) for name, items in splits.items()]
        stack.enter_context(_without_garbage_collection())
        configs += _write_training(sources, edition, eval_questions(splits), staged)
        _refuse_if(strict, sources)
        release = Release(
            version("cot-distill"), edition, PARSER, configs,
            sorted(set(sources.absent)), sources.left_out, sorted(sources.unchecked),
        )  # fmt: skip
        write_dataset_card(release, staged)
        write_index(release, staged)
    return release


def _refuse_if(strict: bool, sources: _Sources) -> None:
    missing = [*sources.left_out.values(), *(f"{name}: is absent." for name in sources.absent)]
    if strict and missing:
        raise CotDistillError("\n".join([f"Refused for {len(missing)} reasons (--strict):", *missing]))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Rows are many small objects without a cycle among them: looking for one took a fifth of a build's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _write_split(name: str, items: list[EvalItem], folder: Path) -> ConfigStats:
    rows = [eval_row(benchmark_of(name), item) for item in items]
    return write_config(eval_config(name), "test", rows, folder)


def _write_training(sources: _Sources, edition: str, tests: EvalQuestions, folder: Path) -> list[ConfigStats]:
    """Write every training config; what cannot be read is added to `sources.left_out`."""
    written, shared = [], _shared(sources.readers, tests) if edition == "aligned" else {}
    for config in track(sorted(sources.readers), description="Writing configs"):
        try:
            read = sources.readers[config]()
            rows, dropped = select(read.rows, edition, tests, shared.get((config.teacher, config.benchmark)))
            written.append(write_config(str(config), "train", rows, folder, read, dropped))
        except CotDistillError as error:
            sources.left_out[str(config)] = str(error)
    return written


def _shared(readers: Readers, tests: EvalQuestions) -> dict[tuple[str, str], frozenset[str]]:
    """Return, by teacher and benchmark, the ids that all its levels and formats have; one config is read at a time."""
    shared: dict[tuple[str, str], frozenset[str]] = {}
    for config in track(sorted(readers), description="Aligning"):
        key = (config.teacher, config.benchmark)
        try:
            ids = clean_ids(readers[config]().rows, tests)
        except CotDistillError:  # named when it is its turn to be written
            continue
        shared[key] = shared.get(key, ids) & ids
    return shared


def _arith_readers() -> Readers:
    problems, _ = arith.splits()
    configs = [ConfigName("answer", 0, "cot", "arith")]
    for format_ in FORMATS:
        granularities = GRANULARITIES if format_ == "cot" else FORMAT_GRANULARITIES
        configs += [ConfigName("oracle", granularity, format_, "arith") for granularity in granularities]
    return {config: partial(_arith_rows, config, problems) for config in configs}


def _arith_rows(config: ConfigName, problems: list[arith.Problem]) -> Read:
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
    return Read([row for row in made if row is not None], len(problems), {})


def _add_upstream(sources: _Sources, data: Path, benchmarks: Collection[str], *, own_text: bool) -> None:
    """Add a reader for every config of the manifest whose file is there; a config takes its golds by question id.

    Configs of other than `benchmarks` are left out: nobody can say which of their rows leak a test split.
    """
    golds: dict[str, dict[str, upstream.Gold]] = {}
    broken: dict[str, str] = {}  # without its golds a benchmark's contradictions would stay
    entries, refused = manifest.read_manifest(data)
    sources.left_out |= refused
    for entry in sorted(entries, key=lambda entry: entry.config.teacher != "answer"):  # the golds first
        name, benchmark = str(entry.config), entry.config.benchmark
        try:
            if not manifest.file_of(entry, data).is_file():
                sources.absent.append(entry.file_name)
            elif benchmark not in benchmarks:
                sources.left_out[name] = (
                    f"no test split of {benchmark} is at hand: "
                    "give --benchmarks, or --unchecked to keep what may leak."
                )
            elif benchmark in broken:
                sources.left_out[name] = f"its golds cannot be had: {broken[benchmark]}"
            else:
                if entry.config.teacher == "answer":
                    golds[benchmark] = upstream.read_golds(entry, data)
                reader = partial(upstream.read_rows, entry, data, golds.get(benchmark, {}), own_text=own_text)
                sources.readers[entry.config] = reader
        except CotDistillError as error:
            sources.left_out[name] = str(error)
            if entry.config.teacher == "answer":
                broken[benchmark] = str(error)

"""Build a release folder: rows of all sources, without leaks and contradictions.

cot-distill build
cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
cot-distill build --annotations annotations
"""

import gc
from collections import ChainMap
from collections.abc import Collection
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from ..benchmarks import BENCHMARKS, TEST_SPLITS, EvalItem, benchmark_for_split
from ..errors import CotDistillError
from ..files import atomic_dir
from ..grading.answers import GRADER_VERSION
from ..messages import progress
from ..names import ConfigName, eval_config
from ..schema import ConfigRows, Golds, Source, eval_row
from ..sources import arith, generated, manifest, upstream
from ..sources.test_splits import read_test_splits
from .card import write_dataset_card
from .editions import DEFAULT_EDITION, Edition
from .folder import ConfigStats, Release, require_writable_release, write_config, write_index
from .selection import EvalQuestions, eval_questions, flag_test_questions, select


def build(
    out: Path,
    upstream_source: str | Path | None = None,
    benchmarks: Path | None = None,
    *,
    annotations: Path | None = None,
    edition: str = DEFAULT_EDITION.name,
    strict: bool = False,
    unchecked: bool = False,
) -> Release:
    """Write the release folder `out` in one edition, atomically, and return its index.

    It holds the embedded benchmark, and the other benchmarks' rows in the paper's release (`upstream_source`: a
    checkout, or its URL to clone), the kept answers in the stores below `annotations`, and test sets in the folder
    `benchmarks`. A file that cannot be read is named in `Release.left_out` and the rest is written; with `strict` an
    unreadable or missing file is an error instead. A benchmark without a test split is skipped unless `unchecked`.
    Raises CotDistillError if an input folder is missing, or if `out` has other content than a release of this edition.
    """
    chosen = Edition.parse(edition)
    require_writable_release(out, chosen)
    if benchmarks and not benchmarks.is_dir():
        raise CotDistillError(f"The folder {benchmarks} does not exist: pass the folder of the test sets.")
    with ExitStack() as stack:
        checkout = stack.enter_context(manifest.clone_or_open(str(upstream_source))) if upstream_source else None
        data = manifest.data_folder(checkout) if checkout else None
        names = [name for name, split in TEST_SPLITS.items() if split.embedded or checkout or benchmarks]
        splits, unreadable = read_test_splits(names, benchmarks, checkout, hub=checkout is not None)
        sources = [arith.source(), Source(skipped=unreadable)]
        needed = BENCHMARKS if chosen.keeps_test_questions or unchecked else splits
        sources += [upstream.source(data, needed)] if data else []
        sources += [generated.source(annotations, needed)] if annotations else []
        if strict:
            _require_complete(sources)
        staged = stack.enter_context(atomic_dir(out))
        configs = [_write_split(name, items, staged) for name, items in splits.items()]
        if gc.isenabled():  # rows are many small objects without cycles, and collection took a fifth of a build
            gc.disable()
            stack.callback(gc.enable)
        configs += _write_training(sources, chosen, eval_questions(splits), staged)
        if strict:
            _require_complete(sources)
        release = _index(sources, chosen, configs, splits)
        write_dataset_card(release, staged)
        write_index(release, staged)
    return release


def _index(sources: list[Source], edition: Edition, configs: list[ConfigStats], tested: Collection[str]) -> Release:
    absent = {name: file for source in sources for name, file in sorted(source.missing.items())}
    left_out = {_encodable(name): _encodable(reason) for source in sources for name, reason in source.skipped.items()}
    unchecked = sorted({config.benchmark for source in sources for config in source.readers} - set(tested))
    used = {way["prompt_hash"] for stats in configs for way in stats.generation}
    prompts = {hash_: text for source in sources for hash_, text in source.prompts.items() if hash_ in used}
    return Release(version("cot-distill"), edition, GRADER_VERSION, configs, absent, left_out, unchecked, prompts)


def _encodable(text: str) -> str:
    """Escape the lone surrogates of a text that names the content of a file."""
    return text.encode(errors="backslashreplace").decode()


def _require_complete(sources: list[Source]) -> None:
    reasons = [reason for source in sources for reason in source.skipped.values()]
    reasons += [f"{name}: {file} is missing." for source in sources for name, file in source.missing.items()]
    if reasons:
        raise CotDistillError("\n".join([f"--strict found {len(reasons)} problems:", *reasons]))


def _write_split(name: str, items: list[EvalItem], folder: Path) -> ConfigStats:
    rows = [eval_row(benchmark_for_split(name), item) for item in items]
    return write_config(eval_config(name), "test", ConfigRows(rows, len(rows), {}), rows, folder)


def _write_training(sources: list[Source], edition: Edition, tests: EvalQuestions, folder: Path) -> list[ConfigStats]:
    """Write every training config. A config that cannot be read is added to the `skipped` of its source."""
    golds = ChainMap(*(source.golds for source in sources))
    owners = {config: source for source in sources for config in source.readers}
    shared = _shared_ids(owners, golds, tests) if edition.aligned else {}
    written = []
    for config in progress(sorted(owners), "Writing configs"):
        try:
            read = owners[config].readers[config](golds)
            read = read._replace(rows=flag_test_questions(read.rows, tests))
            rows, dropped = select(read.rows, edition, shared.get((config.teacher, config.benchmark)))
            written.append(write_config(str(config), "train", read, rows, folder, dropped))
        except CotDistillError as error:
            owners[config].skipped[str(config)] = str(error)
    return written


def _shared_ids(
    owners: dict[ConfigName, Source], golds: Golds, tests: EvalQuestions
) -> dict[tuple[str, str], frozenset[str]]:
    """Return, by teacher and benchmark, the question ids that all its levels and formats keep in the default edition.

    One config is in memory at a time.
    """
    shared: dict[tuple[str, str], frozenset[str]] = {}
    for config in progress(sorted(owners), "Aligning configs"):
        key = (config.teacher, config.benchmark)
        try:
            rows = flag_test_questions(owners[config].readers[config](golds).rows, tests)
        except CotDistillError:  # reported when the config is written
            continue
        ids = frozenset(row["id"] for row in select(rows, DEFAULT_EDITION)[0])
        shared[key] = shared.get(key, ids) & ids
    return shared

"""Build a release folder: rows of all sources, without leaks and contradictions.

cot-distill build
cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
cot-distill build --annotations annotations
cot-distill build --rows solutions.jsonl --teacher qwen3 --granularity l3 --benchmark shop --answer-kind number
"""

import gc
from collections import ChainMap, Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path

from ..benchmarks import BENCHMARKS, TEST_SPLITS, EvalItem, benchmark_for_split
from ..errors import CotDistillError
from ..files import atomic_dir
from ..grading.answers import GRADER_VERSION
from ..messages import count, progress
from ..names import ConfigName, eval_config
from ..schema import ConfigRows, Row, Source, eval_row
from ..sources import arith, generated, manifest, own_rows, upstream
from ..sources.own_rows import OwnRows
from ..sources.test_splits import read_test_splits
from .card import write_dataset_card
from .config_files import write_config
from .editions import DEFAULT_EDITION, Edition
from .folder import ConfigStats, Release, require_writable_release, write_index
from .selection import eval_questions, flag_test_questions, select


def build(
    out: Path,
    upstream_source: str | Path | None = None,
    benchmarks: Path | None = None,
    rows: OwnRows | None = None,
    *,
    annotations: Path | None = None,
    edition: str = DEFAULT_EDITION.name,
    strict: bool = False,
    unchecked: bool = False,
) -> Release:
    """Write the release folder `out` in one edition, atomically, and return its index.

    It holds the embedded benchmark, and the other benchmarks' rows in the paper's release (`upstream_source`: a
    checkout, or its URL to clone), the kept answers in the stores below `annotations`, test sets in the folder
    `benchmarks`, and the user's own `rows`. A file that cannot be read is named in `Release.left_out` and the rest is
    written; with `strict` it is an error instead, as is a missing file. A benchmark without a test split is skipped
    unless `unchecked`. Raises CotDistillError if an input folder is missing, `rows` cannot be used, or `out` has other
    content than a release of this edition.
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
        sources += [own_rows.source(rows, needed)] if rows else []
        splits |= {name: items for source in sources for name, items in source.splits.items()}
        _require_complete(sources, strict)
        staged = stack.enter_context(atomic_dir(out))
        _pause_collection(stack)
        configs = [_write_split(name, items, staged) for name, items in splits.items()]
        configs += _write_training(sources, chosen, splits, staged)
        _require_complete(sources, strict)
        release = _index(sources, chosen, configs, splits)
        write_dataset_card(release, staged)
        write_index(release, staged)
    return release


def _index(sources: list[Source], edition: Edition, configs: list[ConfigStats], tested: Collection[str]) -> Release:
    absent = {name: file for source in sources for name, file in sorted(source.missing.items())}
    left_out = {_encodable(name): _encodable(reason) for source in sources for name, reason in source.skipped.items()}
    own = {name: facts for source in sources for name, facts in source.own_benchmarks.items()}
    unchecked = sorted({config.benchmark for source in sources for config in source.readers} - {*tested, *own})
    written = {stats.name for stats in configs}
    origins = {name: origin for source in sources for name, origin in source.origins.items() if name in written}
    used = {way["prompt_hash"] for stats in configs for way in stats.generation}
    prompts = {hash_: text for source in sources for hash_, text in source.prompts.items() if hash_ in used}
    return Release(
        version("cot-distill"), edition, GRADER_VERSION, configs, absent, left_out, unchecked, prompts, own, origins
    )


def _encodable(text: str) -> str:
    """Escape the lone surrogates of a text that names the content of a file."""
    return text.encode(errors="backslashreplace").decode()


def _check_configs(sources: list[Source]) -> None:
    """Reject a config that two sources have."""
    counts = Counter(config for source in sources for config in source.readers)
    if repeated := sorted(config for config, count in counts.items() if count > 1):
        raise CotDistillError(f"Two sources have the config `{repeated[0]}`: give your rows another --teacher.")


def _pause_collection(stack: ExitStack) -> None:
    """Pause the garbage collector: rows are many small objects without cycles, and it took a fifth of a build."""
    if gc.isenabled():
        gc.disable()
        stack.callback(gc.enable)


def _require_complete(sources: list[Source], strict: bool) -> None:
    reasons = [reason for source in sources for reason in source.skipped.values()]
    reasons += [f"{name}: {file} is missing." for source in sources for name, file in source.missing.items()]
    if strict and reasons:
        raise CotDistillError("\n".join([f"--strict found {count(len(reasons), 'problem')}:", *reasons]))


def _write_split(name: str, items: list[EvalItem], folder: Path) -> ConfigStats:
    rows = [eval_row(benchmark_for_split(name), item) for item in items]
    return write_config(eval_config(name), "test", ConfigRows(rows, len(rows), {}), folder)


def _write_training(
    sources: list[Source], edition: Edition, splits: dict[str, list[EvalItem]], folder: Path
) -> list[ConfigStats]:
    """Write every training config. A config that cannot be read is added to the `skipped` of its source.

    Raises CotDistillError if two sources have one config.
    """
    _check_configs(sources)
    golds = ChainMap(*(source.golds for source in sources))
    owners = {config: source for source in sources for config in source.readers}
    flag = _flags(splits, {name for source in sources for name in source.own_benchmarks})

    def read(config: ConfigName) -> ConfigRows:
        rows = owners[config].readers[config](golds)
        rows.rows = flag[config.benchmark](rows.rows)
        return rows

    shared = _shared_ids(sorted(owners), read) if edition.aligned else {}
    written = []
    for config in progress(sorted(owners), "Writing configs"):
        choose = partial(select, edition=edition, shared=shared.get((config.teacher, config.benchmark)))
        try:
            written.append(write_config(str(config), "train", read(config), folder, choose))
        except CotDistillError as error:
            owners[config].skipped[str(config)] = str(error)
    return written


def _flags(splits: dict[str, list[EvalItem]], own: Collection[str]) -> Mapping[str, Callable[..., Iterator[Row]]]:
    """Return, by benchmark, what flags its test questions; those of other benchmarks too if it is an own one."""
    from .overlap import OtherTests  # its library takes 0.3 seconds to load, which a training need not wait for

    flag, compared = partial(flag_test_questions, tests=eval_questions(splits)), {}
    for name in own:
        items = ((benchmark_for_split(other), item) for other in splits if other != name for item in splits[other])
        compared[name] = partial(flag, others=OtherTests(eval_row(benchmark, item) for benchmark, item in items))
    return defaultdict(lambda: flag, compared)


def _shared_ids(
    configs: list[ConfigName], read: Callable[[ConfigName], ConfigRows]
) -> dict[tuple[str, str], frozenset[str]]:
    """Return, by teacher and benchmark, the question ids that all its levels and formats keep in the default edition.

    One config is in memory at a time.
    """
    shared: dict[tuple[str, str], frozenset[str]] = {}
    for config in progress(configs, "Aligning configs"):
        key = (config.teacher, config.benchmark)
        try:
            ids = frozenset(row["id"] for row in select(read(config).rows, DEFAULT_EDITION)[0])
        except CotDistillError:  # reported when the config is written
            continue
        shared[key] = shared.get(key, ids) & ids
    return shared

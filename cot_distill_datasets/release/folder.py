"""The release folder: a Hub dataset repo, with one Parquet file per config and a README whose front matter lists them.

    eit/cot-distill/README.md                                  the dataset card
    eit/cot-distill/release.json                               what was read, dropped and written, per config
    eit/cot-distill/data/oracle-l3-arith/train-3f2a….parquet   one file per config, named by its content

`load_dataset("eit/cot-distill", "oracle-fine-arith")` reads it from the current folder, or from the Hub.
"""

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from ..benchmarks import BENCHMARKS, Benchmark, find_benchmark
from ..errors import CotDistillError, nearest
from ..files import is_empty, recover
from ..hub import limit_waits
from ..names import ConfigName
from ..schema import FEATURES, FINDINGS
from ..sources import generated
from .editions import Edition
from .selection import EXCLUDED_FLAGS


RELEASE_REVISION = f"v{version('cot-distill')}"  # the Hub tag that evaluation reads if there is no release folder
INDEX = "release.json"
DEFAULT_CONFIGS = ("gpt4o-l5-gsm8k", "oracle-l3-arith")  # the first that the release has is the default

# Without the key `huggingface`, where datasets 5 names a type (`List`) that datasets 3 does not know. Both read the
# same types from Arrow's own.
SCHEMA = FEATURES.arrow_schema.remove_metadata()

# Why a row that was read is in no config of an edition.
DROPPED = {
    "other_teacher": "filed under one teacher but written by another",
    "no_answer": "neither a gold nor a conclusion",
    "empty": "the teacher's text is empty or only a tag of the prompt, or that of a new teacher has no reasoning",
    "system_turn": "the conversation has a system turn, which no prompt of a student has",
    "several_turns": "the conversation is not one question and one answer",
    "tool_call": "the conversation calls a tool",
    "unreadable": "the row is not in the layout of its file, or has text that cannot be used",
    "leaked": "the question is in a test split",
    "contradicting": "the teacher's own conclusion is not the gold",
    **{flag: FINDINGS[flag] for flag in EXCLUDED_FLAGS},
    "unaligned": "another level of the teacher lacks the question, or the config repeats it",
    **generated.DROPPED,
}


@dataclass(frozen=True)
class ConfigStats:
    """The content of one config and what was dropped from it. Lengths are words and reasoning steps, not tokens."""

    name: str
    split: str
    file: str
    rows_in: int
    rows: int
    dropped: dict[str, int] = field(default_factory=dict)  # reason → rows, see `DROPPED`
    flags: dict[str, int] = field(default_factory=dict)  # repairs and findings of the rows read
    kept_flags: dict[str, int] = field(default_factory=dict)  # the same of the rows written
    agreement: float | None = None  # share of the rows read with a gold and a conclusion where the two are equal
    mean_words: float = 0.0
    mean_steps: float = 0.0
    generation: list[dict[str, Any]] = field(default_factory=list)  # how its rows were generated, see `_generation`

    @property
    def config(self) -> ConfigName:
        """The parsed name of a training config; a test split has none."""
        return ConfigName.parse(self.name)


@dataclass(frozen=True)
class Release:
    """The index of a release folder: everything but the rows."""

    version: str
    edition: Edition
    parser: str  # the grader that read the conclusions, and so decided the agreements
    configs: list[ConfigStats]
    absent: dict[str, str]  # config → its file, which the manifest lists and the checkout lacks
    left_out: dict[str, str]  # config → why it was skipped
    unchecked: list[str]  # benchmarks without a test split, so not checked for leaks
    prompts: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # of generated CoT, by prompt hash
    own_benchmarks: dict[str, dict[str, str]] = field(default_factory=dict)  # see `schema.Source`
    origins: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def default(self) -> str:
        """The config that `load_dataset` loads without a name."""
        names = {stats.name for stats in self.configs}
        return next(name for name in DEFAULT_CONFIGS if name in names)

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark of the release: one that this package knows, or an own one."""
        return find_benchmark(name, self.own_benchmarks.get(name))

    @property
    def tag(self) -> str:
        """The Hub tag of this version and edition."""
        tag = f"v{self.version}"
        return tag if self.edition.revision == "main" else f"{tag}-{self.edition.revision}"

    @property
    def training(self) -> list[ConfigStats]:
        """The training configs."""
        return [stats for stats in self.configs if stats.split == "train"]

    def front_matter(self) -> list[dict[str, object]]:
        """Return the `configs:` of the dataset card: every config, and its alias over the same file."""
        aliases = {alias: stats for stats in self.training if (alias := stats.config.alias)}
        named = {stats.name: stats for stats in self.configs} | aliases
        return [
            {"config_name": name, "data_files": [{"split": named[name].split, "path": named[name].file}]}
            | ({"default": True} if name == self.default else {})
            for name in sorted(named)
        ]


def write_index(release: Release, folder: Path) -> None:
    """Write `release.json`, which makes the folder a release."""
    index = dataclasses.asdict(release) | {"edition": release.edition.name}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def read_release(folder: Path) -> Release | None:
    """Return the index of a release, or None without one. Raises CotDistillError if this version cannot read it."""
    if not (folder / INDEX).is_file():
        recover(folder)
    if not (folder / INDEX).is_file():
        return None
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        configs = [ConfigStats(**stats) for stats in index["configs"]]
        changed = {"configs": configs, "edition": Edition.parse(index["edition"]), "absent": dict(index["absent"])}
        release = Release(**index | changed)
        for stats in release.training:
            release.benchmark(stats.config.benchmark)
        return release
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CotDistillError(f"Cannot read {folder / INDEX}: build the release again.") from error


def require_release(folder: Path) -> Release:
    """Return the index of a release. Raises CotDistillError if there is none, or this version cannot read it."""
    release = read_release(folder)
    if release is None:
        raise CotDistillError(f"There is no release in {folder}: run `cot-distill build` first.")
    return release


def find_release(folder: Path) -> Release | None:
    """Return the index of a release, or None if `folder` does not exist, so that `load_dataset` reads the Hub.

    Raises CotDistillError if there is a folder that is not a release, or this version cannot read it.
    """
    release = read_release(folder)
    if release is None and folder.exists():
        raise CotDistillError(f"{folder} is not a release, but would be read instead of the Hub: move it away.")
    return release


def own_benchmark(name: str, dataset: str, revision: str | None = None) -> dict[str, str] | None:
    """Return what the release in the folder or Hub dataset `dataset` says of an own benchmark; None if it is not own.

    Raises CotDistillError if neither this package nor the release knows the benchmark.
    """
    if name in BENCHMARKS:
        return None
    release = read_release(Path(dataset))
    if release is None and not Path(dataset).exists():
        limit_waits()
        with suppress(OSError, ValueError):  # no such dataset or file, or the Hub cannot be reached
            index = hf_hub_download(dataset, INDEX, repo_type="dataset", revision=revision)
            release = read_release(Path(index).parent)
    known = release.own_benchmarks if release else {}
    if name not in known:
        raise CotDistillError(f"Unknown benchmark {name!r}: use {nearest(name, [*BENCHMARKS, *known], limit=8)}.")
    return known[name]


def require_writable_release(folder: Path, edition: Edition) -> None:
    """Check that building `edition` into `folder` overwrites nothing but an older build of it.

    Raises CotDistillError if `folder` has other content, or a release of another edition.
    """
    recover(folder)
    try:
        existing = str(json.loads((folder / INDEX).read_text(encoding="utf-8"))["edition"])  # any version wrote it
    except (OSError, ValueError, KeyError, TypeError):
        existing = edition.name  # there is no release
    if existing != edition.name:
        raise CotDistillError(
            f"{folder} holds the edition `{existing}`: pass another folder as --out for `{edition.name}`."
        )
    if not (is_empty(folder) or (folder / INDEX).is_file()):
        raise CotDistillError(
            f"{folder} is not empty and not a cot-distill release: move it away, or run `cot-distill build --out DIR`."
        )

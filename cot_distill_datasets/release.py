"""A release: a folder that is a Hub dataset repo, with Parquet per config and a README whose front matter lists them.

    eit/cot-distill/README.md                                  the dataset card
    eit/cot-distill/release.json                               what was read, dropped and written, per config
    eit/cot-distill/data/oracle-l3-arith/train-3f2a….parquet   one file a config, named by its content

`load_dataset("eit/cot-distill", "oracle-fine-arith")` reads it from the folder where it was built, or from the Hub.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .editions import UNFIT
from .folders import is_vacant, restore
from .schema import FEATURES, FINDINGS, Read, Row
from .taxonomy import ConfigName, CotDistillError


RELEASE_REVISION = "v0.1.0"  # the Hub tag that evaluation reads where no release lies in the folder
INDEX = "release.json"
DEFAULT_CONFIGS = ("gpt4o-l5-gsm8k", "oracle-l3-arith")  # the first that is there is the default

_HAS_WORD = re.compile(r"\w").search
_STEP_END = re.compile(r"[.!?;](?=\s|$)|\n")


@dataclass(frozen=True)
class ConfigStats:
    """What one config holds and what was left out of it; lengths are words and reasoning steps, so of no tokenizer."""

    name: str
    split: str
    file: str
    rows_in: int
    rows: int
    dropped: dict[str, int] = field(default_factory=dict)  # reason → rows, see `DROPPED`
    flags: dict[str, int] = field(default_factory=dict)  # repairs and findings, of the rows read
    kept_flags: dict[str, int] = field(default_factory=dict)  # the same of the rows that are here
    agreement: float | None = None  # of the rows read that have a gold and a conclusion, the share where they agree
    mean_words: float = 0.0
    mean_steps: float = 0.0


# Why a row that was read is in no config of an edition.
DROPPED = {
    "other_teacher": "keyed under another teacher's output",
    "no_answer": "neither a gold nor a conclusion",
    "empty": "there is no text of the teacher",
    "leaked": "the question is in a test split",
    "contradicting": "the teacher's own conclusion is not the gold",
    **{flag: FINDINGS[flag] for flag in UNFIT},
    "unaligned": "another level of the teacher lacks the question, or the config has it twice",
}


@dataclass(frozen=True)
class Release:
    """The whole of a release folder but its rows."""

    version: str
    edition: str
    parser: str  # what read the conclusions, so what the agreements are of
    configs: list[ConfigStats]
    absent: list[str]  # files of the manifest that are not there
    left_out: dict[str, str]  # config → why
    unchecked: list[str]  # benchmarks without a test split: nobody looked for leaks

    @property
    def default(self) -> str:
        """The config that `load_dataset` takes when none is named."""
        names = {stats.name for stats in self.configs}
        return next(name for name in DEFAULT_CONFIGS if name in names)

    @property
    def revision(self) -> str:
        """The revision of the Hub that holds its edition."""
        return "main" if self.edition == "clean" else self.edition

    @property
    def tag(self) -> str:
        """The tag of the Hub that holds it for good."""
        return f"v{self.version}" if self.revision == "main" else f"v{self.version}-{self.revision}"

    @property
    def training(self) -> list[ConfigStats]:
        """The configs that students learn from."""
        return [stats for stats in self.configs if stats.split == "train"]

    def front_matter(self) -> list[dict[str, object]]:
        """Return the `configs:` of the dataset card: every config, and its alias over the same file."""
        aliases = {alias: stats for stats in self.training if (alias := ConfigName.parse(stats.name).alias)}
        named = {stats.name: stats for stats in self.configs} | aliases
        return [
            {"config_name": name, "data_files": [{"split": named[name].split, "path": named[name].file}]}
            | ({"default": True} if name == self.default else {})
            for name in sorted(named)
        ]


def write_config(
    name: str,
    split: str,
    rows: list[Row],
    folder: Path,
    read: Read | None = None,
    dropped: dict[str, int] | None = None,
) -> ConfigStats:
    """Write `rows` as one config's Parquet below `folder`; `read` is what they were chosen from, where that is more.

    Its name carries a hash of the content: `load_dataset` caches by file name, and a rebuilt folder must never serve
    the rows of the former one.

    Raises:
        CotDistillError: there are no rows.
    """
    if not rows:
        raise CotDistillError("no row is left.")
    read = read or Read(rows, len(rows), {})
    written = folder / "data" / name / f"{split}.parquet"
    written.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema), written)
    path = written.rename(written.with_name(f"{split}-{_content_hash(written.read_bytes())}.parquet"))
    mean_words, mean_steps = mean_lengths(rows)
    judged = [row["is_correct"] for row in read.rows if row["is_correct"] is not None and row["teacher"] != "answer"]
    return ConfigStats(
        name=name,
        split=split,
        file=str(path.relative_to(folder)),
        rows_in=read.rows_in,
        rows=len(rows),
        dropped=read.dropped | (dropped or {}),
        flags=_flags(read.rows),
        kept_flags=_flags(rows),
        agreement=round(statistics.fmean(judged), 6) if judged else None,
        mean_words=mean_words,
        mean_steps=mean_steps,
    )


def is_as_written(path: Path, content: bytes) -> bool:
    """Whether `content` is what `write_config` wrote under the name of `path`."""
    return path.stem.endswith(f"-{_content_hash(content)}")


def _content_hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def _flags(rows: list[Row]) -> dict[str, int]:
    return dict(sorted(Counter(flag for row in rows for flag in row["flags"]).items()))


def mean_lengths(rows: list[Row]) -> tuple[float, float]:
    """Return the mean words and the mean reasoning steps of the rationales, rounded to a tenth."""
    texts = [row["rationale"] or "" for row in rows] or [""]
    words = statistics.fmean(len(text.split()) for text in texts)
    steps = statistics.fmean(map(reasoning_steps, texts))
    return round(words, 1), round(steps, 1)


def reasoning_steps(text: str) -> int:
    """Count the reasoning steps of a rationale: its sentences, clauses behind a semicolon, and lines."""
    return sum(_HAS_WORD(step) is not None for step in _STEP_END.split(text))


def write_index(release: Release, folder: Path) -> None:
    """Write `release.json`; a folder that has one is a release."""
    (folder / INDEX).write_text(json.dumps(dataclasses.asdict(release), indent=1) + "\n")


def read_release(folder: Path) -> Release | None:
    """Return what a release folder says of itself, or None where `folder` is none.

    Raises:
        CotDistillError: its index cannot be read, or is of another version.
    """
    if not (folder / INDEX).is_file():
        restore(folder)
    if not (folder / INDEX).is_file():
        return None
    try:
        index = json.loads((folder / INDEX).read_text())
        return Release(**index | {"configs": [ConfigStats(**stats) for stats in index["configs"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CotDistillError(f"{folder / INDEX} cannot be read as that of a release: build it again.") from error


def existing_release(folder: Path) -> Release:
    """Return what a release folder says of itself.

    Raises:
        CotDistillError: `folder` is none, or its index cannot be read.
    """
    release = read_release(folder)
    if release is None:
        raise CotDistillError(f"There is no release in {folder}: run `cot-distill build` first.")
    return release


def check_out(folder: Path, edition: str) -> None:
    """Refuse to write a release over something else.

    Raises:
        CotDistillError: `folder` is neither a release of that edition, nor empty, nor new.
    """
    restore(folder)
    if (there := _edition_of(folder)) not in (None, edition):
        raise CotDistillError(f"{folder} holds the edition `{there}`: give another folder as --out for `{edition}`.")
    if not (is_vacant(folder) or (folder / INDEX).is_file()):
        raise CotDistillError(f"{folder} holds something else than a release: give an empty or a new folder as --out.")


def _edition_of(folder: Path) -> str | None:
    """Return the edition of a release, also of one whose index is of another version; None where there is none."""
    try:
        return str(json.loads((folder / INDEX).read_text())["edition"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

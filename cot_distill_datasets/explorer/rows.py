"""The rows of a release, read one part at a time: from its folder, or from the Hub if there is none.

A part is all training configs of a benchmark (`svamp`), or one test split (`eval-svamp`).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download

from ..benchmarks import benchmark_for_split
from ..errors import CotDistillError
from ..hub import limit_waits
from ..names import EVAL_PREFIX, RELEASE_NAME
from ..release.folder import INDEX, RELEASE_REVISION, ConfigStats, Release, find_release, require_release


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_COLUMNS = [
    "id", "benchmark", "question", "choices", "answer", "teacher", "granularity", "format", "rationale",
    "teacher_answer", "is_correct", "flags",
]  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """A release whose rows are read when they are needed. `folder` is a download if `on_hub`."""

    folder: Path
    release: Release
    on_hub: bool

    @classmethod
    def open(cls, folder: Path | None = None) -> "Corpus":
        """Open the release in `folder`, else in `./eit/cot-distill`, else the Hub dataset at the version's tag.

        Raises CotDistillError if there is none, or this version cannot read it.
        """
        release = require_release(folder) if folder else find_release(Path(RELEASE_NAME))
        if release:
            return cls(folder or Path(RELEASE_NAME), release, on_hub=False)
        folder = _download([INDEX])
        return cls(folder, require_release(folder), on_hub=True)

    @property
    def parts(self) -> dict[str, list[ConfigStats]]:
        """The parts of the release, by benchmark, training before test, with their configs."""
        parts: dict[str, list[ConfigStats]] = {}
        for stats in self.release.configs:
            parts.setdefault(stats.config.benchmark if stats.split == "train" else stats.name, []).append(stats)
        return dict(sorted(parts.items(), key=lambda part: (benchmark_of(part[0]), part[0].startswith(EVAL_PREFIX))))

    def rows(self, part: str) -> pa.Table:
        """Return the rows of a part, in the order of its configs, with the columns of a page and `config`.

        Raises CotDistillError if a file is missing or damaged, or the Hub cannot be reached.
        """
        files = tuple((stats.name, stats.file) for stats in self.parts[part])
        return _read(self.folder, files, on_hub=self.on_hub)

    def question(self, part: str, id_: str) -> list[dict[str, Any]]:
        """Return the rows of one question."""
        rows = self.rows(part)
        return list(rows.filter(pc.equal(rows["id"], id_)).to_pylist())


def benchmark_of(part: str) -> str:
    """Return the benchmark whose questions a part has."""
    return benchmark_for_split(part.removeprefix(f"{EVAL_PREFIX}-"))


def word_quantiles(rows: pa.Table) -> dict[str, list[float]]:
    """Return the quantiles of the words of the rationales of each config, for configs with CoT."""
    quantiles = {}
    for config in rows["config"].unique().to_pylist():
        texts = rows.filter(pc.equal(rows["config"], config))["rationale"].drop_null()
        if len(texts):
            words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)))
            quantiles[config] = pc.quantile(words, list(QUANTILES)).to_pylist()
    return quantiles


def _download(patterns: list[str]) -> Path:
    """Download files of the Hub dataset that are not in the cache, and return its folder."""
    limit_waits()
    try:
        return Path(
            snapshot_download(RELEASE_NAME, repo_type="dataset", revision=RELEASE_REVISION, allow_patterns=patterns)
        )
    except (OSError, ValueError) as error:
        raise CotDistillError(
            f"There is no release in {RELEASE_NAME}, and the Hub has none at {RELEASE_REVISION} or cannot be reached: "
            "run `cot-distill build`, or pass the folder of a release as `--release`."
        ) from error


@lru_cache  # all parts of the paper's release are 130 MB
def _read(folder: Path, files: tuple[tuple[str, str], ...], *, on_hub: bool) -> pa.Table:
    if on_hub:
        _download([file for _, file in files])
    tables = []
    for name, file in files:
        try:
            table = pq.ParquetFile(folder / file).read(_COLUMNS)
        except (OSError, pa.ArrowException) as error:
            raise CotDistillError(f"Cannot read {folder / file}: build the release again.") from error
        tables.append(table.append_column("config", pa.array([name] * len(table))))
    return pa.concat_tables(tables)

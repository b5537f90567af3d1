"""The Parquet file of a config: written a few rows at a time, counted as they pass, and named by its content."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import CotDistillError
from ..schema import ConfigRows, Generation, Row
from .folder import SCHEMA, ConfigStats


_GROUP_SIZE, _ROW_SIZE = 16 << 20, 1000  # characters of the rows in memory, and of a row's other columns
_WAY = [name for name in Generation._fields if name != "sample"]
_HAS_WORD = re.compile(r"\w").search
_STEP_END = re.compile(r"[.!?;](?=\s|$)|\n")


@dataclass
class _Count:
    """What is counted of rows as they pass, one by one."""

    rows: int = 0
    words: int = 0
    steps: int = 0
    graded: int = 0
    correct: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    ways: Counter[tuple[tuple[str, Any], ...]] = field(default_factory=Counter)  # in which CoT was generated

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.measure(row["rationale"] or "")
            if row["is_correct"] is not None and row["teacher"] != "answer":
                self.graded += 1
                self.correct += row["is_correct"]
            self.flags.update(row["flags"])
            if row["model"] is not None:
                self.ways[tuple((name, row[name]) for name in _WAY)] += 1
            yield row

    def measure(self, rationale: str) -> None:
        self.rows += 1
        self.words += len(rationale.split())
        self.steps += sum(_HAS_WORD(step) is not None for step in _STEP_END.split(rationale))

    @property
    def mean_lengths(self) -> tuple[float, float]:
        rows = self.rows or 1
        return round(self.words / rows, 1), round(self.steps / rows, 1)

    @property
    def generation(self) -> list[dict[str, Any]]:
        """The ways in which the rows were generated, each with its number of rows."""
        return [dict(way) | {"rows": count} for way, count in sorted(self.ways.items(), key=str)]


def write_config(
    name: str,
    split: str,
    read: ConfigRows,
    folder: Path,
    select: Callable[[Iterable[Row]], tuple[Iterable[Row], Counter[str]]] = lambda rows: (rows, Counter()),
) -> ConfigStats:
    """Write the rows that `select` returns of those `read` as the Parquet file of one config below `folder`.

    The file name carries a hash of the content: `load_dataset` caches by file name, so a rebuilt folder never serves
    the rows of an older build. Few rows are in memory at a time. Raises CotDistillError if there are no rows, and
    leaves no file if reading one raises it.
    """
    seen, kept = _Count(), _Count()
    rows, dropped = select(seen.over(read.rows))
    written = folder / "data" / name / f"{split}.parquet"
    written.parent.mkdir(parents=True)
    try:
        with pq.ParquetWriter(written, SCHEMA) as writer:
            for group in _row_groups(kept.over(rows)):
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
        counts = dict(Counter(read.dropped) + dropped)
        if not kept.rows:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.items())
            raise CotDistillError(f"no rows are left{f' ({reasons})' if reasons else ''}.")
    except CotDistillError:
        shutil.rmtree(written.parent)
        raise
    with written.open("rb") as content:
        path = written.rename(written.with_name(f"{split}-{file_digest(content, 'sha256').hexdigest()[:16]}.parquet"))
    # Of generated CoT, the source drops what is wrong, and the other correct samples of a question.
    correct = seen.correct + read.dropped.get("other_sample", 0)
    graded = seen.graded + read.dropped.get("other_sample", 0) + read.dropped.get("contradicting", 0)
    agreement = round(correct / graded, 6) if graded else None
    flags, kept_flags = (dict(sorted(count.flags.items())) for count in (seen, kept))
    return ConfigStats(
        name, split, str(path.relative_to(folder)), read.rows_in, kept.rows, counts, flags, kept_flags, agreement,
        *kept.mean_lengths, kept.generation,
    )  # fmt: skip


def _row_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists of a bounded size: a config of the paper is one list."""
    group, size = list[Row](), 0
    for row in rows:
        group.append(row)
        size += _ROW_SIZE + len(row["question"]) + len(row["rationale"] or "")
        if size > _GROUP_SIZE:
            yield group
            group.clear()  # not a new list: the caller still has this one while the next is filled
            size = 0
    if group:
        yield group


def is_unchanged(path: Path, content: bytes) -> bool:
    """Whether `content` is what `write_config` wrote under the file name of `path`."""
    return path.stem.endswith(f"-{sha256(content).hexdigest()[:16]}")


def mean_lengths(rows: list[Row]) -> tuple[float, float]:
    """Return the mean words and reasoning steps of the rationales, rounded to one decimal.

    Reasoning steps are sentences, clauses after a semicolon, and lines.
    """
    count = _Count()
    for row in rows:
        count.measure(row["rationale"] or "")
    return count.mean_lengths

"""Records: the answers of one cell to the questions of one task, and how they came about.

    docs/results/arith/records/demo.oracle-l3-arith.seed1.cot_arith.a799aa1925d61b1d.parquet

A cell is complete if it has its records: its weights may be deleted, and its records may be committed. A record has
one row per question, and in the file's metadata the cell, its provenance and how it was evaluated. Older
records lack two of its facts: `losses` of the training, and `first`, the answer to the first question.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import CotDistillError
from ..files import atomic_file
from ..names import OUTCOMES
from .plan import Plan, PlannedCell


VERSION = 1

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("correct", pa.bool_()),
        ("flexible_correct", pa.bool_()),
        ("no_answer", pa.bool_()),
        ("truncated", pa.bool_()),
        ("output_tokens", pa.int32()),
    ]
)
_METADATA = b"cot_distill"


def write_record(path: Path, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write a record atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    metadata = {_METADATA: json.dumps({"version": VERSION} | facts, sort_keys=True).encode()}
    _write_table(path, table.replace_schema_metadata(metadata))


def read_record(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Return a record's rows and facts. Raises CotDistillError if it is damaged, or of another version."""
    try:
        table = pq.read_table(path)
        facts: dict[str, Any] = json.loads(table.schema.metadata[_METADATA])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CotDistillError(f"{path} is damaged: delete it and run the study again.") from error
    if facts.get("version") != VERSION:
        raise CotDistillError(
            f"{path} has the version {facts.get('version')}, but this version reads {VERSION}: run the study with the "
            "version of cot-distill that wrote it, or in another folder."
        )
    return table, facts


def read_records(plan: Plan) -> Iterator[tuple[PlannedCell, str, pa.Table, dict[str, Any]]]:
    """Yield the cell, the task, the rows and the facts of each record of a plan. Raises as `read_record` does."""
    for planned in plan.cells:
        for task in planned.records:
            if (path := plan.record(planned, task)).is_file():
                yield planned, task, *read_record(path)


def outcomes(plan: Plan) -> pa.Table:
    """Return all answers of the complete records of a plan, one row per cell, task and question.

    The columns are those of a record behind `key`, `student`, `config`, `benchmark`, `seed`, `shots`, `task`, and one
    column for each further axis.
    """
    axes = sorted({name for planned in plan.cells for name, _ in planned.cell.arguments})
    tables = []
    for planned, task, table, _ in read_records(plan):
        cell, values = planned.cell, dict(planned.cell.axes)
        columns = {
            "key": planned.key, "student": cell.label, "config": cell.config, "benchmark": cell.benchmark,
            "seed": cell.seed, "shots": cell.shots, "task": task, **{name: values.get(name, "") for name in axes},
        }  # fmt: skip
        constants = [pa.array([value] * len(table)) for value in columns.values()]
        tables.append(pa.Table.from_arrays([*constants, *table.columns], names=[*columns, *table.column_names]))
    if not tables:
        raise CotDistillError(f"{plan.folder} has no records of this study: run `cot-distill study run` first.")
    return pa.concat_tables(tables)


def write_outcomes(plan: Plan) -> Path:
    """Write `outcomes.parquet`, from which every number of a report is computed."""
    path = plan.folder / OUTCOMES
    _write_table(path, outcomes(plan))
    return path


def _write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that exists in full or not at all. Raises CotDistillError on a full disk."""
    try:
        with atomic_file(path) as staged:
            pq.write_table(table, staged, compression="zstd")
    except OSError as error:
        raise CotDistillError(
            f"Cannot write {path} ({error}): free some disk space, then run the study again."
        ) from error

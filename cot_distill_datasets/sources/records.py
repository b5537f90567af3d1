"""Read the rows of a data file in the layouts that users have: a JSON list, JSON Lines, or Parquet."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..errors import CotDistillError


_EXPECTED = "a JSON list of objects, JSON Lines or Parquet is expected"


def load_records(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a file. Raises CotDistillError, which has `name` and the row, if one is not an object.

    A repeated key is an error, because `json` would silently keep its last value. A name that ends in `.parquet` is
    Parquet; the content tells JSON from JSON Lines. Editors write a BOM and empty lines.
    """
    try:
        if path.suffix == ".parquet":
            return list(pq.read_table(path).to_pylist())
        text = path.read_text(encoding="utf-8-sig")
        rows = _loads(text) if text.lstrip().startswith("[") else _json_lines(text)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8 or not Parquet
        raise CotDistillError(f"{name}: cannot be read ({error}): {_EXPECTED}.") from error
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            problem = "has a repeated key" if isinstance(row, _Repeated) else f"is not an object: {_EXPECTED}"
            raise CotDistillError(f"{name}: row {index} {problem}.")
    return rows


def _json_lines(text: str) -> list[Any]:
    rows = []
    for line in text.split("\n"):  # not `splitlines`: U+2028 is text
        if line.strip():
            try:
                rows.append(_loads(line))
            except ValueError as error:
                raise ValueError(f"row {len(rows)} is not JSON: {error}") from error
    return rows


class _Repeated(list[tuple[str, Any]]):
    """A JSON object with a repeated key."""


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    unique = dict(pairs)
    return unique if len(unique) == len(pairs) else _Repeated(pairs)

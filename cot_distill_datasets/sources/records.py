"""Read the rows of a data file in the layouts that users have: a JSON list, JSON Lines, or Parquet."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import pyarrow.parquet as pq

from ..errors import CotDistillError


_EXPECTED = "a JSON list of objects, JSON Lines or Parquet is expected"
_PART = 1 << 20  # characters of a JSON list that are read at a time
_LONGEST_ROW = 64 << 20  # characters; what is longer is not a row but a broken list
_BETWEEN_ROWS = re.compile(r"[\s,]*")


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


class BrokenRow(NamedTuple):
    """Takes the place of a row that cannot be read."""

    problem: str


def stream_json(path: Path) -> Iterator[Any]:
    """Yield the values of a JSON list or of JSON Lines, with little of the file in memory.

    A line that is not JSON is a `BrokenRow`. Raises CotDistillError, with the row, if a list is broken: its next row
    cannot be found.
    """
    with path.open("rb") as file:
        start = file.read(_PART).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        file.seek(0)
        if start != b"[":
            yield from _stream_lines(file)
            return
    with path.open(encoding="utf-8-sig") as text:
        yield from _stream_list(text, path.name)


def _stream_lines(file: BinaryIO) -> Iterator[Any]:
    for line in file:
        if line.strip():
            try:
                yield _loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                yield BrokenRow(f"is not JSON ({error})")


def _stream_list(file: TextIO, name: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    text, position, index, at_end = file.read(_PART).lstrip()[1:], 0, 0, False
    while True:
        position = _BETWEEN_ROWS.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            if (text[position + 1 :] + file.read(_PART)).strip():
                raise CotDistillError(f"{name}: there is text behind the list: {_EXPECTED}.")
            return
        try:
            row, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            rest = len(text) - position
            if at_end or rest > _LONGEST_ROW or isinstance(error, RecursionError):
                raise CotDistillError(f"{name}: row {index} is not JSON ({error}): {_EXPECTED}.") from error
            more = file.read(max(rest, _PART))  # twice the row, so that a long one is not parsed many times
            text, position, at_end = text[position:] + more, 0, not more
        else:
            yield row
            index += 1


class _Repeated(list[tuple[str, Any]]):
    """A JSON object with a repeated key."""


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    unique = dict(pairs)
    return unique if len(unique) == len(pairs) else _Repeated(pairs)

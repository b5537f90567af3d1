"""Read a file or Hub dataset of the user's own one row at a time, so that memory does not grow with its size.

`datasets` reads everything but JSON, of which one broken row would be an error of the 10 MB around it: it gives a
column of a file one type (datasets 5.2, `packaged_modules/json/json.py`).
"""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.exceptions import DatasetsError

from ..errors import CotDistillError
from ..hub import limit_waits
from ..messages import message
from ..templates import printable
from .records import stream_json


_JSON = (".json", ".jsonl")
# Suffix → the builder of `datasets` and its options: "None" is a text, and a row group may be the whole file.
_BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"keep_default_na": False, "sep": "\t"}),
    ".parquet": ("parquet", {"batch_size": 1000}),
    ".arrow": ("arrow", {}),
}


def stream_rows(place: str) -> Iterator[Any]:
    """Yield the rows of a file, a folder of files, or a Hub dataset (`USER/NAME[/CONFIG[/SPLIT]]`).

    A row of JSON that is broken is a `records.BrokenRow`. Raises CotDistillError if the source cannot be read.
    """
    path = Path(place)
    try:
        yield from stream_json(path) if path.is_file() and path.suffix in _JSON else _load(place)
    except CotDistillError:
        raise
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        # ValueError: not of its format, or no such split; RuntimeError: a script of `datasets`
        reason = " ".join(str(error.__cause__ or error).split())
        raise CotDistillError(f"{place}: cannot be read ({printable(reason[:300])}).") from error


def _load(place: str) -> Any:
    path, suffixes = Path(place), ", ".join(f"`{suffix}`" for suffix in (*_JSON, *_BUILDERS))
    if path.is_dir():
        return load_dataset(place, split="train", streaming=True)
    if path.exists():
        if path.suffix not in _BUILDERS:
            raise CotDistillError(f"{place}: files with the suffix {path.suffix!r} cannot be read: use {suffixes}.")
        builder, options = _BUILDERS[path.suffix]
        return load_dataset(builder, data_files=glob.escape(str(path)), split="train", streaming=True, **options)
    user, name, config, split = (*place.split("/"), *[None] * 3)[:4]
    if not (user and name) or place.count("/") > 3 or path.suffix in (*_JSON, *_BUILDERS):
        raise CotDistillError(f"There is no file {place}: pass one ({suffixes}), or a Hub dataset as USER/NAME.")
    limit_waits()
    message(f"Reading {place} from the Hub.")
    return load_dataset(f"{user}/{name}", config, split=split or "train", streaming=True)


def published_name(place: str) -> str:
    """Return the name of a source without its local path, which must not be published."""
    return Path(place).resolve().name if Path(place).exists() else place

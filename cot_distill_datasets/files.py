"""Atomic writes, locks, and the one definition of "complete".

After a kill at any moment, either the old or the new version of a file or folder exists in full. Four kinds of output
use the primitives here, and each has one sign that it is complete:

- A **folder** that is replaced as a whole (a release, an export, a task's results, an untrained student): its name.
  `atomic_dir` writes a hidden sibling (`.NAME.new`) and swaps it in with two renames. A kill between the two leaves
  the old folder as `.NAME.old`; `recover` puts it back.
- A **checkpoint**, which transformers writes file by file: `whole.json`. `begun.json` is its first file and is renamed
  to `whole.json` once all the others are written (`mark_begun`, `mark_complete`, `completion`).
- A **student**: `provenance.json`, its last file (`provenance.py`).
- A **published** dataset or student: its tag, the last step on the Hub (`hub.py`).
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import CotDistillError


_PACKAGE = Path(__file__).parent
_BEGUN, _COMPLETE = "begun.json", "whole.json"


def resource(relative: str) -> Path:
    """Return the path of a shipped file that is not Python, such as `training/recipes/demo.yaml`.

    A checkout has it below its root, a wheel inside the package (`pyproject.toml`, `force-include`).
    """
    checkout = _PACKAGE.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else _PACKAGE / "_files"
    return root / relative


@contextmanager
def atomic_dir(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to. When the block ends without an error, it replaces `folder`.

    Raises CotDistillError if another process is writing the same folder, or the disk is full or read-only.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _recover(folder)
        staged, old = folder.with_name(f".{folder.name}.new"), _old(folder)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            yield staged
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, OSError):  # a full disk, no permission
                raise CotDistillError(f"Cannot write {folder}: {error}. Existing files were not changed.") from error
            raise
        if folder.exists():
            os.rename(folder, old)
        os.rename(staged, folder)
        shutil.rmtree(old, ignore_errors=True)


def atomic_write(path: Path, text: str) -> None:
    """Write a text file that exists in full or not at all."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(text, encoding="utf-8")
    os.replace(staged, path)


def is_empty(folder: Path) -> bool:
    """Whether `folder` is missing or empty, so that replacing it loses nothing."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def recover(folder: Path) -> None:
    """Restore the old folder if a kill fell between the two renames of a swap. Waits for a swap in progress."""
    if _old(folder).exists():
        with locked(folder, wait=True):
            _recover(folder)


def _recover(folder: Path) -> None:
    if _old(folder).exists():
        if folder.exists():  # only the last step of the swap is missing
            shutil.rmtree(_old(folder))
        else:
            os.rename(_old(folder), folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from replacing or publishing `folder`. Raises CotDistillError if one holds the lock now."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(blocking=wait)
    except Timeout as error:
        raise CotDistillError(f"Another process is writing or publishing {folder}: wait for it to finish.") from error
    try:
        yield
    finally:
        lock.release()


def mark_begun(folder: Path) -> None:
    """Mark a folder whose files are about to be written one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / _BEGUN, "{}")


def mark_complete(folder: Path, facts: dict[str, Any]) -> None:
    """Mark a folder whose files are all written, with `facts` for its reader."""
    atomic_write(folder / _BEGUN, json.dumps(facts))
    os.replace(folder / _BEGUN, folder / _COMPLETE)


def is_begun(folder: Path) -> bool:
    """Whether the folder was begun and not completed."""
    return (folder / _BEGUN).is_file()


def completion(folder: Path) -> dict[str, Any] | None:
    """Return the facts of a complete folder, or None if it is not complete."""
    path = folder / _COMPLETE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

"""A folder or a file that is replaced whole: after a kill at any moment the old or the new one lies complete.

The new folder is written beside the old one, then swapped in by two renames. A kill between the two leaves the old one
beside its place, under `.{name}.old`; the next run puts it back.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .taxonomy import CotDistillError


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; when the block ends without an error it takes the place of `folder`.

    Raises:
        CotDistillError: another process is replacing the same folder now, or it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _restore(folder)
        staged, old = folder.with_name(f".{folder.name}.new"), _old(folder)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            yield staged
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, OSError):  # a full disk, no permission
                raise CotDistillError(f"{folder} cannot be written, and is as it was: {error}.") from error
            raise
        if folder.exists():
            os.rename(folder, old)
        os.rename(staged, folder)
        shutil.rmtree(old, ignore_errors=True)


def is_vacant(folder: Path) -> bool:
    """Whether nothing would be lost where `folder` is replaced: it is empty, or not there."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(text)
    os.replace(staged, path)


def restore(folder: Path) -> None:
    """Put the old folder back where a kill fell between the two renames; a swap that is under way is waited for."""
    if _old(folder).exists():
        with locked(folder, wait=True):
            _restore(folder)


def _restore(folder: Path) -> None:
    if _old(folder).exists():
        if folder.exists():  # the swap was done, only its last step was not
            shutil.rmtree(_old(folder))
        else:
            os.rename(_old(folder), folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep every other process that replaces or publishes `folder` out of it.

    Raises:
        CotDistillError: another process holds it now, and `wait` is not set.
    """
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise CotDistillError(f"Another process writes or publishes {folder} now: wait for it to end.") from error
        yield

"""Atomic writes, locks, and the one definition of "complete".

After a kill at any moment, either the old or the new version of a file or folder exists in full. Four kinds of output
use the primitives here, and each has one sign that it is complete:

- A **folder** that is replaced as a whole (a release, an export, a task's results, an untrained student): its name.
  `atomic_dir` writes a hidden sibling (`.NAME.new`) and swaps it in with two renames. A kill between the two leaves
  the old folder as `.NAME.old`; `recover` puts it back.
- A **checkpoint**, which transformers writes file by file: `whole.json`. `begun.json` is its first file and is renamed
  to `whole.json` once all the others are written (`mark_begun`, `mark_complete`, `completion`). It has a fingerprint
  of each of them, by which `damage` finds one that was replaced, cut or removed since.
- A **student**: `provenance.json`, its last file (`provenance.py`).
- A **published** dataset or student: its tag, the last step on the Hub (`hub.py`).
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import CotDistillError, nearest


_PACKAGE = Path(__file__).parent
_BEGUN, _COMPLETE = "begun.json", "whole.json"
_ENDS = 64 << 20  # bytes


def resource(relative: str) -> Path:
    """Return the path of a shipped file that is not Python, such as `training/recipes/demo.yaml`.

    A checkout has it below its root, a wheel inside the package (`pyproject.toml`, `force-include`).
    """
    checkout = _PACKAGE.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else _PACKAGE / "_files"
    return root / relative


def find_file(name: str, folder: str, suffix: str) -> Path:
    """Return the file `name`: a path, or a shipped file's short name, such as `chatml` in `training/templates`.

    Raises CotDistillError if there is none.
    """
    for path in (Path(name), resource(name), resource(f"{folder}/{name}{suffix}")):
        if path.is_file():
            return path
    short_names = sorted(path.name.removesuffix(suffix) for path in resource(folder).glob(f"*{suffix}"))
    near = nearest(Path(name).name.removesuffix(suffix), short_names, limit=len(short_names))
    raise CotDistillError(f"There is no file {name!r}: pass the path of a `{suffix}` file, or {near}.")


@contextmanager
def atomic_dir(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to. When the block ends without an error, it replaces `folder`.

    Raises CotDistillError if another process is writing the same folder, or the disk is full or read-only.
    """
    folder = Path(os.path.abspath(folder))  # `.` cannot be renamed
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _recover(folder)
        staged, old = _sibling(folder, "new"), _sibling(folder, "old")
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


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a hidden sibling to write to. When the block ends without an error, it replaces the file `path`.

    Each process of each machine has its own sibling: several runs may write one file in a shared folder.
    """
    staged = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.new")
    try:
        yield staged
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, text: str) -> None:
    """Write a text file that exists in full or not at all."""
    with atomic_file(path) as staged:
        staged.write_text(text, encoding="utf-8")


def is_empty(folder: Path) -> bool:
    """Whether `folder` is missing or empty, so that replacing it loses nothing."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def recover(folder: Path) -> None:
    """Restore the old folder if a kill fell between the two renames of a swap. Waits for a swap in progress."""
    if _sibling(folder, "old").exists():
        with locked(folder, wait=True):
            _recover(folder)


def _recover(folder: Path) -> None:
    old = _sibling(folder, "old")
    if old.exists():
        if folder.exists():  # only the last step of the swap is missing
            shutil.rmtree(old)
        else:
            os.rename(old, folder)


def _sibling(folder: Path, kind: str) -> Path:
    """Return `.NAME.KIND` beside a folder, which may be `.`."""
    folder = Path(os.path.abspath(folder))
    return folder.parent / f".{folder.name}.{kind}"


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from replacing or publishing `folder`. Raises CotDistillError if one holds the lock now."""
    lock = FileLock(_sibling(folder, "lock"))
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
    """Mark a folder whose files are all written, with `facts` for its reader and a fingerprint of every file."""
    marks = {_BEGUN, _COMPLETE}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in marks]
    whole = {"facts": facts, "files": {path.relative_to(folder).as_posix(): _fingerprint(path) for path in files}}
    atomic_write(folder / _BEGUN, json.dumps(whole | {"sha256": _json_sha256(whole)}))
    os.replace(folder / _BEGUN, folder / _COMPLETE)


def is_begun(folder: Path) -> bool:
    """Whether the folder was begun and not completed."""
    return (folder / _BEGUN).is_file()


def is_complete(folder: Path) -> bool:
    """Whether the folder was completed, damaged or not."""
    return (folder / _COMPLETE).is_file()


def completion(folder: Path) -> dict[str, Any]:
    """Return the facts of a complete folder that is not damaged."""
    return dict(json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))["facts"])


def damage(folder: Path) -> str | None:
    """Return the name of a file of a complete folder that is not as it was written, or None if all are."""
    try:
        whole = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
        if whole.pop("sha256") != _json_sha256(whole):
            return _COMPLETE
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # AttributeError, TypeError: no JSON object
        return _COMPLETE
    paths = {name: folder / name for name in whole["files"]}
    changed = (n for n, path in paths.items() if not path.is_file() or _fingerprint(path) != whole["files"][n])
    return next(changed, None)


def _fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's size and its first and last 64 MiB: a whole checkpoint may have 50 GB."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = sha256(f"{size}\n".encode() + file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()


def _json_sha256(value: Any) -> str:
    return sha256(json.dumps(value).encode()).hexdigest()

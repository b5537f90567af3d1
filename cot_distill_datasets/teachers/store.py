"""The store of one teacher, `annotations/{teacher}/answers.jsonl`: one line per answer, only appended to.

A line is written in one call the moment an answer arrives, so a kill loses at most the line that it tears, and the
next run removes that one. Lines reach the disk itself (`fsync`) within a second, and when the store is closed.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CotDistillError
from ..files import locked
from ..sources.generated import ANSWERS, KEPT, Answer, read_answers, reason, write_prompt
from .gate import Gate
from .prompts import Prompt


_SYNC_SECONDS = 1.0


class Store:
    """The open store of a teacher, which knows the keys of its answers and the tokens that they took."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self.keys: set[bytes] = set()  # as bytes: a million take 100 MB
        self.prompt_tokens = self.output_tokens = 0
        self._descriptor = descriptor
        self._synced = time.monotonic()
        self._prompts: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self.keys

    def append(self, answer: Answer, prompt: Prompt) -> None:
        """Write an answer, and its prompt before the first one. Raises CotDistillError if the disk is full."""
        if prompt.hash not in self._prompts:
            write_prompt(self.folder, prompt.hash, prompt.template)
            self._prompts.add(prompt.hash)
        self._write(answer.line().encode())
        self.count(answer, is_done=True)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._descriptor)
            self._synced = time.monotonic()

    def _write(self, line: bytes) -> None:
        end = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:  # a full disk
            os.ftruncate(self._descriptor, end)
            raise CotDistillError(
                f"Cannot write {self.folder / ANSWERS}: {error}. Its answers were not changed."
            ) from error

    def count(self, answer: Answer, *, is_done: bool) -> None:
        """Count a line. A key is in the store if its latest answer `is_done`."""
        (self.keys.add if is_done else self.keys.discard)(bytes.fromhex(answer.key))
        self.prompt_tokens += answer.prompt_tokens or 0
        self.output_tokens += answer.output_tokens or 0


@contextmanager
def open_store(folder: Path, gate: Gate | None = None, *, retry_failed: bool = False) -> Iterator[Store]:
    """Open the store of a teacher to append to it. A last line that is torn is removed; an empty store is not kept.

    The `gate` notes the answers that are there. With `retry_failed`, the store has only the keys whose latest answer
    is kept. Raises CotDistillError if another process has it open, or a line is damaged.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / ANSWERS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.ftruncate(descriptor, _end_of_lines(folder / ANSWERS))
            store = Store(folder, descriptor)
            for answer in read_answers(folder):
                noted_by = gate if gate and answer.key in gate else None
                reason_ = reason(answer) if noted_by or retry_failed else ""
                if noted_by:
                    noted_by.note(answer, reason_)
                store.count(answer, is_done=not retry_failed or reason_ == KEPT)
            yield store
            os.fsync(descriptor)
        finally:
            is_empty = not os.fstat(descriptor).st_size
            os.close(descriptor)
            if is_empty:
                (folder / ANSWERS).unlink()
                folder.rmdir()


def _end_of_lines(path: Path) -> int:
    """Return the position behind the last line break of a file, in bytes."""
    block = 1 << 16
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - block, 0)
            file.seek(start)
            if (position := file.read(end - start).rfind(b"\n")) >= 0:
                return start + position + 1
            end = start
    return 0

"""Checkpoints that a killed training resumes from: which are complete, and which recipe wrote them.

    runs/smollm2-135m/gpt4o-l5-svamp/seed100/checkpoint-11/whole.json
    {"facts": {"recipe_sha256": "3f2a…", "seconds": 412.7, "sharding": "none"}, "files": {"model.safetensors": …}, …}

transformers writes a checkpoint file by file, and would resume from a half-written one. `files.mark_begun` and
`mark_complete` tell the two apart, and `damage` finds a file that was changed later. A checkpoint with neither
mark belongs to another trainer and is not touched, so a checkpoint is renamed before it is deleted: a kill during the
deletion would leave a folder without a mark.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import CotDistillError
from ..files import completion, damage, is_begun, is_complete, mark_complete
from ..messages import message


class Checkpoint(NamedTuple):
    """A complete checkpoint, and the seconds of training that led to it over all runs."""

    folder: Path
    seconds: float


def mark_checkpoint(folder: Path, recipe_sha256: str, seconds: float, sharding: str) -> None:
    """Mark a checkpoint whose files are all written."""
    mark_complete(folder, {"recipe_sha256": recipe_sha256, "seconds": round(seconds, 1), "sharding": sharding})


def last_checkpoint(student: Path, recipe_sha256: str, sharding: str) -> Checkpoint | None:
    """Return the last intact checkpoint of a student, or None if there is none.

    Raises CotDistillError if a different recipe, sharding or trainer wrote it, or if all checkpoints are damaged.
    """
    complete = [folder for folder in _checkpoints(student) if not is_begun(folder)]
    if foreign := [folder for folder in complete if not is_complete(folder)]:
        raise CotDistillError(f"{foreign[0]} was not written by cot-distill: pass another `--output_dir`, or move it.")
    intact = [folder for folder in complete if damage(folder) is None]
    if complete and not intact:
        raise CotDistillError(
            f"{complete[-1]} is damaged (its {damage(complete[-1])} is not as it was written), and no earlier "
            "checkpoint is intact: restore the file, or delete the checkpoints to start over."
        )
    if not intact:
        return None
    folder = intact[-1]
    facts = completion(folder)
    if facts["recipe_sha256"] != recipe_sha256:
        raise CotDistillError(
            f"{folder} was written by a different recipe (settings, rows or base model): run that recipe to resume "
            "from it, delete the checkpoints to start over, or pass another `--output_dir`."
        )
    if facts["sharding"] != sharding:
        raise CotDistillError(
            f"{folder} was written with sharding {facts['sharding']} and cannot be read with {sharding}: launch with "
            "the same profile, or delete the checkpoints to start over."
        )
    return Checkpoint(folder, facts["seconds"])


def remove_unusable(student: Path) -> None:
    """Delete the checkpoints that a kill left half-written, and those that were damaged later."""
    unusable = []
    for folder in _checkpoints(student):
        if is_begun(folder):
            unusable.append(folder)
            message(f"Deleting the half-written {folder}.")
        elif is_complete(folder) and (name := damage(folder)):
            unusable.append(folder)
            message(f"Deleting the damaged {folder}: its {name} is not as it was written.")
    _remove(student, unusable)


def remove_checkpoints(student: Path, *, kept: int = 0) -> None:
    """Delete all but the last `kept` checkpoints, each about three times the model's size."""
    _remove(student, _checkpoints(student)[: -kept or None])


def _remove(student: Path, checkpoints: Iterable[Path]) -> None:
    """Rename checkpoints, then delete all renamed ones, including those that a killed run left."""
    for folder in checkpoints:
        os.replace(folder, folder.with_name(f".{folder.name}.old"))
    for folder in student.glob(".checkpoint-*.old"):
        shutil.rmtree(folder)


def _checkpoints(student: Path) -> list[Path]:
    """Return the checkpoints of a student, by step."""
    folders = [folder for folder in student.glob("checkpoint-*") if folder.is_dir() and folder.name[11:].isdecimal()]
    return sorted(folders, key=lambda folder: int(folder.name[11:]))

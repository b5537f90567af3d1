"""Checkpoints that a killed training goes on from: which are whole, and whose they are.

    runs/smollm2-135m/gpt4o-l5-svamp/seed100/checkpoint-11/whole.json    {"recipe_sha256": "3f2a…", "seconds": 412.7}

transformers writes a checkpoint file by file, and would go on from a half-written one; `whole.json` is the last.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from .folders import write_whole
from .taxonomy import CotDistillError


_WHOLE = "whole.json"


class Checkpoint(NamedTuple):
    """A whole checkpoint; `seconds` are those of training that led to it, over all runs."""

    folder: Path
    seconds: float


def mark_whole(folder: Path, recipe_sha256: str, seconds: float) -> None:
    """Say that all files of a checkpoint are written."""
    write_whole(folder / _WHOLE, json.dumps({"recipe_sha256": recipe_sha256, "seconds": round(seconds, 1)}))


def last_checkpoint(student: Path, recipe_sha256: str) -> Checkpoint | None:
    """Return the last whole checkpoint of a student, or None where there is none.

    Raises:
        CotDistillError: it is of another recipe.
    """
    whole = [folder for folder in _checkpoints(student) if (folder / _WHOLE).is_file()]
    if not whole:
        return None
    last = max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]))
    marked = json.loads((last / _WHOLE).read_text())
    if marked["recipe_sha256"] != recipe_sha256:
        raise CotDistillError(
            f"{last} is of another recipe (other settings, rows or base model): run that recipe again to go on from "
            f"it, remove the checkpoints to begin anew, or give another `--output_dir`."
        )
    return Checkpoint(last, marked["seconds"])


def remove_half_written(student: Path) -> None:
    """Remove the checkpoints in whose writing a training was killed, and say so."""
    for folder in _checkpoints(student):
        if not (folder / _WHOLE).is_file():
            print(f"{folder} is half-written: removed.", file=sys.stderr)
            shutil.rmtree(folder)


def remove_checkpoints(student: Path) -> None:
    """Remove the checkpoints of a student that is whole: each is thrice its size, and nobody goes on from them."""
    for folder in _checkpoints(student):
        shutil.rmtree(folder)


def _checkpoints(student: Path) -> list[Path]:
    return [folder for folder in student.glob("checkpoint-*") if folder.is_dir()]

"""Checkpoints that a killed training goes on from: which are whole, and whose they are.

    runs/smollm2-135m/gpt4o-l5-svamp/seed100/checkpoint-11/whole.json
    {"recipe_sha256": "3f2a…", "seconds": 412.7, "sharding": "none"}

transformers writes a checkpoint file by file, and would go on from a half-written one. `begun.json` is its first file,
and becomes `whole.json` once all are there; a checkpoint with neither is of another trainer, and is left alone. So one
that goes leaves its name first: a kill in the midst of a removal would leave a folder without either.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from .folders import write_whole
from .taxonomy import CotDistillError


_BEGUN, _WHOLE = "begun.json", "whole.json"


class Checkpoint(NamedTuple):
    """A whole checkpoint; `seconds` are those of training that led to it, over all runs."""

    folder: Path
    seconds: float


def mark_begun(folder: Path) -> None:
    """Say that a checkpoint is ours, and that its files are still to be written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _BEGUN, "{}")


def mark_whole(folder: Path, recipe_sha256: str, seconds: float, sharding: str) -> None:
    """Say that all files of a checkpoint are written."""
    mark = {"recipe_sha256": recipe_sha256, "seconds": round(seconds, 1), "sharding": sharding}
    write_whole(folder / _BEGUN, json.dumps(mark))
    os.replace(folder / _BEGUN, folder / _WHOLE)


def last_checkpoint(student: Path, recipe_sha256: str, sharding: str) -> Checkpoint | None:
    """Return the last whole checkpoint of a student, or None where there is none.

    Raises:
        CotDistillError: it is of another recipe or sharding, or another trainer wrote checkpoints there.
    """
    checkpoints = _checkpoints(student)
    whole = [folder for folder in checkpoints if (folder / _WHOLE).is_file()]
    if foreign := [folder for folder in checkpoints if folder not in whole and not (folder / _BEGUN).is_file()]:
        raise CotDistillError(
            f"{foreign[0]} is of another trainer, and its checkpoints would be lost among ours: give another "
            "`--output_dir`, or move it away."
        )
    if not whole:
        return None
    last = whole[-1]
    marked = json.loads((last / _WHOLE).read_text())
    if marked["recipe_sha256"] != recipe_sha256:
        raise CotDistillError(
            f"{last} is of another recipe (other settings, rows or base model): run that recipe again to go on from "
            f"it, remove the checkpoints to begin anew, or give another `--output_dir`."
        )
    if marked["sharding"] != sharding:
        raise CotDistillError(
            f"{last} was sharded by {marked['sharding']}, and this run by {sharding}, which cannot read it: launch it "
            "with the former profile, or remove the checkpoints to begin anew."
        )
    return Checkpoint(last, marked["seconds"])


def remove_half_written(student: Path) -> None:
    """Remove the checkpoints in whose writing a training was killed, and say so."""
    for folder in _checkpoints(student):
        if (folder / _BEGUN).is_file():
            print(f"{folder} is half-written: removed.", file=sys.stderr)
            _remove(folder)
    _sweep(student)


def remove_checkpoints(student: Path, *, kept: int = 0) -> None:
    """Remove all checkpoints but the last `kept`; each is thrice a student's size, and nobody goes on from them."""
    checkpoints = _checkpoints(student)
    for folder in checkpoints[: max(len(checkpoints) - kept, 0)]:
        _remove(folder)
    _sweep(student)


def _remove(folder: Path) -> None:
    os.replace(folder, folder.with_name(f".{folder.name}.old"))


def _sweep(student: Path) -> None:
    for folder in student.glob(".checkpoint-*.old"):
        shutil.rmtree(folder)


def _checkpoints(student: Path) -> list[Path]:
    """Return the checkpoints of a student, by the number of their step."""
    named = [folder for folder in student.glob("checkpoint-*") if folder.is_dir() and folder.name[11:].isdecimal()]
    return sorted(named, key=lambda folder: int(folder.name[11:]))

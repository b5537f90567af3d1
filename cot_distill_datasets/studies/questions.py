"""The questions that all configs of a benchmark share, on which every arm of a study trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset
from huggingface_hub.dataclasses import type_validator

from ..errors import CotDistillError
from ..files import atomic_write
from ..names import ConfigName
from .study import Study


QUESTIONS = "questions.json"  # beside the records: the ids by benchmark, written at the first run


def shared_questions(study: Study, folder: Path, rows: Mapping[str, Dataset], *, rebase: bool) -> dict[str, list[str]]:
    """Return the ids that all configs of a benchmark have: those of the first run, or of the rows now.

    Raises CotDistillError if there are none, if a config lacks some of the first run, unless `rebase`, or if the file
    is broken.
    """
    shared: dict[str, list[str]] = {}
    for config, part in rows.items():
        benchmark, own = ConfigName.parse(config).benchmark, set(part["id"])
        shared[benchmark] = sorted(own & {*shared.get(benchmark, own)})
    if empty := [benchmark for benchmark, ids in shared.items() if not ids]:
        raise CotDistillError(
            f"The configs of {empty[0]} share no question: study them apart, or use `questions: own`."
        )
    path = folder / QUESTIONS
    if rebase or not path.is_file():
        return shared
    first = _read_questions(path)
    for benchmark, ids in shared.items():
        if loss := {*first.get(benchmark, ids)} - {*ids}:
            configs = (config for config in rows if ConfigName.parse(config).benchmark == benchmark)
            config = next(config for config in configs if loss - {*rows[config]["id"]})
            cost = sum(cell.benchmark == benchmark for cell in study.trained)
            raise CotDistillError(
                f"{config} lacks {len(loss)} of the {len(first[benchmark])} questions of {benchmark}: "
                f"remove it, or pass `--rebase` and train all {cost} cells of {benchmark} on {len(ids)} questions."
            )
    return first | {benchmark: ids for benchmark, ids in shared.items() if benchmark not in first}


def _read_questions(path: Path) -> dict[str, list[str]]:
    try:
        questions = json.loads(path.read_text(encoding="utf-8"))
        type_validator(path.name, questions, dict[str, list[str]])
    except (OSError, ValueError, TypeError) as error:
        raise CotDistillError(
            f"{path} is broken ({error}): restore it, or pass `--rebase`, which may train all cells again."
        ) from error
    return dict(questions)


def write_questions(folder: Path, questions: Mapping[str, list[str]]) -> None:
    """Write the ids of the shared questions beside the records, if there are any."""
    if questions:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / QUESTIONS, json.dumps(questions, indent=0) + "\n")

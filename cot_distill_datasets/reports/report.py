"""`cot-distill report`: one page for the results of several students, with a table, a figure and sample answers."""

import dataclasses
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ..errors import CotDistillError
from ..evaluation.results import Student, read_scores
from ..evaluation.samples import RESULTS, find_results
from ..evaluation.scores import Score, label
from ..files import atomic_write
from ..names import untrained_dir
from ..provenance import Provenance
from ..templates import render_page
from .figures import Bar, draw_scores
from .tables import score_notes, score_table


def write_report(folder: Path, students: Sequence[Student]) -> str:
    """Write `report.json`, `report.png` and `report.md` into `folder`, and return the table of scores.

    The untrained baseline of a student is included if it was evaluated. Raises CotDistillError if a student has no
    results, or results that do not belong to it (`read_scores`), or if two have results of different versions of a
    task.
    """
    untrained = dict.fromkeys(untrained_dir(student.provenance.student) for student in students if student.provenance)
    folders = [student.folder.resolve() for student in students]
    baselines = [path for path in untrained if path.resolve() not in folders]
    scores = _read_scores(students, [Student.open(path) for path in baselines if find_results(path / RESULTS)])
    provenance = {student.folder: student.provenance for student in students}
    folder.mkdir(parents=True, exist_ok=True)
    facts = [_facts(score, provenance.get(score.student)) for score in scores]
    atomic_write(folder / "report.json", json.dumps(facts, indent=1) + "\n")
    by_task = {task: list(group) for task, group in groupby(scores, key=lambda score: score.task)}
    draw_scores({task: list(map(_bar, scores)) for task, scores in by_task.items()}, folder / "report.png")
    trained = {student: record for student, record in provenance.items() if record}
    table, notes = score_table(scores), score_notes(scores)
    missing = [path for path in baselines if path not in [score.student for score in scores]]
    page = render_page(
        "report.md.jinja", table=table, notes=notes, scores=scores, by_task=by_task, trained=trained, label=label,
        missing=missing,
    )  # fmt: skip
    atomic_write(folder / "report.md", page)
    return table


def _read_scores(students: Sequence[Student], baselines: Sequence[Student]) -> list[Score]:
    """Return the scores of the students by task, after those of the baselines on the same tasks."""
    unique = {student.folder: student for student in students}
    scores = [score for student in unique.values() for score in read_scores(student)]
    tasks = {score.task for score in scores}
    scores = [score for base in baselines for score in read_scores(base) if score.task in tasks] + scores
    versions: dict[str, set[float]] = {}
    for score in scores:
        versions.setdefault(score.task, set()).add(score.version)
        if len(versions[score.task]) > 1:
            raise CotDistillError(
                f"The results of `{score.task}` are of several versions of the task ({sorted(versions[score.task])}) "
                "and cannot be compared: evaluate the older ones again."
            )
    return sorted(scores, key=lambda score: list(versions).index(score.task))


def _bar(score: Score) -> Bar:
    return Bar(label(score.student), score.accuracy, score.interval, score.n, score.mean_output_tokens)


def _facts(score: Score, provenance: Provenance | None) -> dict[str, object]:
    low, high = score.interval
    training = {"config": provenance.config, "train_examples": provenance.train_examples} if provenance else {}
    counts = dataclasses.asdict(score) | {"student": str(score.student)}
    return counts | {"accuracy": score.accuracy, "low": low, "high": high} | training

"""`cot-distill study report`: the findings of a study as Markdown, HTML and figures, from its outcomes.

Every accuracy, difference and verdict is computed from `outcomes.parquet`. It is written again first, so that it has
all records that are in the study's folder now. The words of rationales and the seeds that are missing are the plan's.
"""

import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml

from ..files import atomic_write, resource
from ..release.folder import require_release
from ..release.levels import SEPARATED_SHARE
from ..templates import printable, render_page
from ..training.progress import read_losses
from .drawings import draw_figures
from .findings import PLAIN, Section, find
from .page import render_html
from .plan import Plan, PlannedCell
from .records import read_records, write_outcomes
from .study import Study, axis_texts


REPORT, PAGE = "report.md", "report.html"


class Result(NamedTuple):
    """A record of a cell: the share of correct answers to a task, whether the first is one, and the record's facts."""

    planned: PlannedCell
    task: str
    accuracy: float
    first_is_correct: bool
    facts: dict[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """How the student was trained; empty for the untrained base."""
        return self.facts["provenance"] or {}

    @property
    def commands(self) -> list[str]:
        """The commands that train and evaluate this cell again, which `cot-distill evaluate` cannot with exemplars."""
        cell = self.planned.cell
        if cell.shots:
            return []
        arguments = self.planned.arguments[2:]  # after `--config` and the recipe's path on this machine
        train = ["cot-distill", "train", "--config", cell.student, *arguments]
        return [shlex.join(train), shlex.join(self.facts["evaluation"]["command"])]


def write_study_report(plan: Plan) -> str:
    """Write `report.md`, the same as `report.html`, and the figures beside the records, and return a table of scores.

    Raises CotDistillError if no cell is complete, a record is damaged, or the release is missing.
    """
    study = plan.study
    outcomes = pq.read_table(write_outcomes(plan))
    release = require_release(Path(study.dataset))
    accuracies = {stats.name: stats.agreement for stats in release.training if stats.agreement is not None}
    sections = find(outcomes, accuracies, study.margin / 100)
    words = {planned.cell.config: planned.words for planned in plan.cells}
    results = _results(plan)
    students = list({result.planned.cell.name: result for result in results if result.provenance}.values())
    losses = _losses(students)
    with_losses = sum(len(of_config) for configs in losses.values() for of_config in configs.values())
    figures = draw_figures(plan.folder, sections, words, losses, study.margin)
    page = render_page(
        "study_report.md.jinja",
        study=study, plan=plan, sections=sections, words=words, accuracies=accuracies, missing=_missing(plan),
        planned_seeds=lambda section: _planned_seeds(study, section), plain=PLAIN, separated_share=SEPARATED_SHARE,
        warnings=[*plan.warnings, *_mixed_settings(results)],
        figures=figures, results=results, answers=_first_answers(results), paper=_paper(sections),
        trained=len(students), with_losses=with_losses,
    )  # fmt: skip
    pictures = {name: (plan.folder / name).with_suffix(".svg").read_text(encoding="utf-8") for name in figures}
    atomic_write(plan.folder / REPORT, f"{page}\n")
    atomic_write(plan.folder / PAGE, render_html(f"Study {study.name}", page, pictures))
    return render_page("study_scores.md.jinja", sections=sections, seconds=_training_seconds(students))


def _results(plan: Plan) -> list[Result]:
    """Return all records of the plan."""
    results = []
    for planned, task, table, facts in read_records(plan):
        correct = table["correct"].to_pylist()
        results.append(Result(planned, task, statistics.fmean(correct), correct[0], facts))
    return results


def _first_answers(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return a record of each arm on each task, if it has the answer to the first question."""
    arms: dict[tuple[Any, ...], Result] = {}
    for result in results:
        cell = result.planned.cell
        if "first" in result.facts:
            arms.setdefault((result.task, cell.label, cell.benchmark, cell.axes, cell.config, cell.shots), result)
    by_task: dict[str, list[Result]] = {}
    for result in arms.values():
        by_task.setdefault(result.task, []).append(result)
    return by_task


def _losses(students: Sequence[Result]) -> dict[tuple[str, ...], dict[str, list[Any]]]:
    """Return the losses of the students of each config, by student, benchmark and further axes.

    A record without them is an older one: they are then those of the student's folder, if it still exists.
    """
    losses: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for result in students:
        cell = result.planned.cell
        if of_student := result.facts.get("losses") or read_losses(result.planned.student):
            place = (cell.label, cell.benchmark, *axis_texts(cell.axes))
            losses.setdefault(tuple(map(printable, place)), {}).setdefault(cell.config, []).append(of_student)
    return losses


def _training_seconds(students: Sequence[Result]) -> dict[tuple[Any, ...], float]:
    """Return the mean seconds of training of each arm that has records, by student, axes and config."""
    seconds: dict[tuple[Any, ...], list[float]] = {}
    for result in students:
        cell = result.planned.cell
        seconds.setdefault((cell.label, cell.axes, cell.config), []).append(result.provenance["train_seconds"])
    return {arm: statistics.fmean(values) for arm, values in seconds.items()}


def _paper(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the paper's numbers of students, teachers and benchmarks that the study has, and where they are from."""
    paper: dict[str, Any] = yaml.safe_load(resource("cards/paper_results.yaml").read_text(encoding="utf-8"))
    results = [
        (section, result)
        for section in sections
        for result in paper["results"]
        if result["student"] == section.place.student
        and result["config"] in section.arms
        and section.place.task.removesuffix("_paper") == f"cot_{section.place.benchmark}"
    ]
    return paper | {"results": results}


def _mixed_settings(results: Sequence[Result]) -> list[str]:
    """Return a warning for each student and task whose records are of several backends or dtypes."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for result in results:
        settings = result.facts["evaluation"]["settings"]
        way = f"{settings['backend']} in {settings['model_args']['dtype']}"
        counts.setdefault((result.planned.cell.label, result.task), Counter())[way] += 1
    return [
        f"Records of `{student}` on `{task}`: {', '.join(f'{n} by {way}' for way, n in ways.items())}. Answers "
        "differ among backends and dtypes, so these arms differ in more than their supervision."
        for (student, task), ways in counts.items()
        if len(ways) > 1
    ]


def _missing(plan: Plan) -> dict[str, str]:
    """Return the cells that are not complete, each with the reason."""
    reasons = dict(plan.missing)
    for planned in plan.cells:
        if tasks := planned.missing_tasks(plan.records):
            reasons[planned.cell.name] = f"no record of {', '.join(tasks)}"
    return reasons


def _planned_seeds(study: Study, section: Section) -> Counter[str]:
    """Return how many seeds the study has of each config of a section."""
    return Counter(
        cell.config
        for cell in study.trained
        if (cell.label, cell.benchmark, cell.axes) == (*section.place[:2], section.axes)
    )

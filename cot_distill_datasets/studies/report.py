"""`cot-distill study report`: the findings of a study as Markdown and figures, from its outcomes.

Every accuracy, difference and verdict is computed from `outcomes.parquet`. It is written again first, so that it has
all records that are in the study's folder now. The words of rationales and the seeds that are missing are the plan's.
"""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..files import atomic_write
from ..release.folder import require_release
from ..reports.figures import Bar, Curve, Point, draw_granularity, draw_scores
from ..templates import render_page
from .findings import PLAIN, Section, find
from .plan import SEPARATED_SHARE, Plan
from .records import read_record, write_outcomes
from .study import Cell, Study


SCORES = "scores.png"


def write_study_report(plan: Plan) -> str:
    """Write `report.md`, `scores.png` and `granularity-*.png` beside the records, and return the table of scores.

    Raises CotDistillError if no cell is complete, a record is damaged, or the release is missing.
    """
    study = plan.study
    outcomes = pq.read_table(write_outcomes(plan))
    release = require_release(Path(study.dataset))
    accuracies = {stats.name: stats.agreement for stats in release.training if stats.agreement is not None}
    sections = find(outcomes, accuracies, study.margin / 100)
    words = {planned.cell.config: planned.words for planned in plan.cells}
    page = render_page(
        "study_report.md.jinja",
        study=study, plan=plan, sections=sections, words=words, accuracies=accuracies, missing=_missing(plan),
        planned_seeds=lambda section: _planned_seeds(study, section), plain=PLAIN, separated_share=SEPARATED_SHARE,
        figures=_draw_figures(plan.folder, sections, words), warnings=[*plan.warnings, *_mixed_settings(plan)],
    )  # fmt: skip
    atomic_write(plan.folder / "report.md", f"{page}\n")
    return render_page("study_scores.md.jinja", sections=sections, seconds=_training_seconds(plan))


def _facts(plan: Plan) -> Iterator[tuple[Cell, str, dict[str, Any]]]:
    """Yield the cell, the task and the facts of each record."""
    for planned in plan.cells:
        for task in planned.records:
            if (path := plan.record(planned, task)).is_file():
                yield planned.cell, task, read_record(path)[1]


def _training_seconds(plan: Plan) -> dict[tuple[Any, ...], float]:
    """Return the mean seconds of training of each arm that has records, by student, axes and config."""
    seconds: dict[tuple[Any, ...], list[float]] = {}
    for cell, _, facts in _facts(plan):
        if facts["provenance"]:
            axes = tuple((name, str(value)) for name, value in cell.arguments)
            seconds.setdefault((cell.label, axes, cell.config), []).append(facts["provenance"]["train_seconds"])
    return {arm: statistics.fmean(values) for arm, values in seconds.items()}


def _mixed_settings(plan: Plan) -> list[str]:
    """Return a warning for each student and task whose records are of several backends or dtypes."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for cell, task, facts in _facts(plan):
        settings = facts["evaluation"]["settings"]
        way = f"{settings['backend']} in {settings['model_args']['dtype']}"
        counts.setdefault((cell.label, task), Counter())[way] += 1
    return [
        f"`{student}` on `{task}`: {', '.join(f'{count} records by {way}' for way, count in ways.items())}. Answers "
        "differ among backends and dtypes, so these arms differ in more than their supervision."
        for (student, task), ways in counts.items()
        if len(ways) > 1
    ]


def _missing(plan: Plan) -> dict[str, str]:
    """Return the cells that are not complete, each with the reason."""
    reasons = dict(plan.missing)
    for planned in plan.cells:
        if tasks := [task for task in planned.records if not plan.record(planned, task).is_file()]:
            reasons[planned.cell.name] = f"no record of {', '.join(tasks)}"
    return reasons


def _planned_seeds(study: Study, section: Section) -> Counter[str]:
    """Return how many seeds the study has of each config of a section."""
    return Counter(
        cell.config
        for cell in study.trained
        if (cell.label, cell.benchmark) == section.place[:2]
        and tuple((name, str(value)) for name, value in cell.arguments) == section.axes
    )


def _draw_figures(folder: Path, sections: Iterable[Section], words: Mapping[str, float]) -> list[str]:
    """Draw the scores of all arms, and granularity for each task and value of the axes; return the files' names."""
    bars: dict[str, list[Bar]] = {}
    for section in sections:
        for name, arm in [*section.baselines.items(), *section.arms.items()]:
            values = [f"{axis}={value}" for axis, value in section.axes if name in section.arms]
            label = " ".join([section.place.student, name, *values])
            bar = Bar(label, arm.accuracy, section.interval(name), arm.questions, arm.output_tokens)
            bars.setdefault(section.place.task, []).append(bar)
    draw_scores(bars, folder / SCORES)
    by_title: dict[tuple[str, ...], list[Curve]] = {}
    for section in sections:
        by_title.setdefault(_title(section), []).extend(_curves(section, words))
    names = [SCORES]
    for title, curves in by_title.items():
        if curves:
            names.append(re.sub(r"[^\w.=-]", "_", "-".join(["granularity", *title])) + ".png")
            draw_granularity(curves, ", ".join(title), folder / names[-1])
    return names


def _title(section: Section) -> tuple[str, ...]:
    """Return what a figure is about: the task, the benchmark of training if it is another, and the further axes."""
    place = section.place
    benchmark = [] if place.task == f"cot_{place.benchmark}" else [f"trained on {place.benchmark}"]
    return (place.task, *benchmark, *(f"{name}={value}" for name, value in section.axes))


def _curves(section: Section, words: Mapping[str, float]) -> list[Curve]:
    """Return a curve for each teacher of a section."""

    def point(label: str, config: str) -> Point:
        arm = section.arms[config]
        return Point(label, words[config], arm.output_tokens, arm.accuracy, section.interval(config))

    answer_only = point("answer-only", section.answer_only) if section.answer_only in section.arms else None
    baseline = max((arm.accuracy for arm in section.baselines.values()), default=None)
    return [
        Curve(
            section.place.student,
            verdict.about,
            [point(level, config) for level, config in verdict.configs.items()],
            baseline,
            answer_only,
        )
        for verdict in section.granularity
    ]

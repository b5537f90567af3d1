"""The report of students' results: a table with intervals, a figure, and a sample answer of each beside the gold."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from scipy.stats import binomtest

from .benchmarks import GROUPS
from .cards import render_page
from .folders import write_whole
from .provenance import Provenance, read_provenance
from .scores import Score, read_scores
from .taxonomy import CotDistillError


if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ReportRow:
    """One student on one task: what was scored, with the 95 % Wilson interval of its accuracy, and what was trained.

    Without `made` the student is an untrained one.
    """

    student: Path
    score: Score
    made: Provenance | None

    @property
    def accuracy(self) -> float:
        """Share of the questions that the headline filter calls correct, between 0 and 1."""
        return self.score.correct / self.score.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval over the questions; it says nothing of another seed."""
        low, high = binomtest(self.score.correct, self.score.n).proportion_ci(method="wilson")
        return float(low), float(high)


def label(student: Path) -> str:
    """Return what tables and figures call a student: its folder, without the `runs/` that all have."""
    return str(student).removeprefix("runs/")


@dataclass(frozen=True)
class MacroRow:
    """One student on a group of tasks: the mean of its tasks' accuracies, each of the same weight.

    The 95 % interval joins the tasks' Wilson limits as Newcombe (1998) joins those of a difference: over the
    questions, not over the choice of benchmarks.
    """

    student: Path
    group: str
    tasks: list[ReportRow]

    @property
    def accuracy(self) -> float:
        """The mean, between 0 and 1."""
        return mean(row.accuracy for row in self.tasks)

    @property
    def flexible(self) -> float:
        """The same by the flexible filter, which every task of a group has."""
        return mean((row.score.flexible_correct or 0) / row.score.n for row in self.tasks)

    @property
    def interval(self) -> tuple[float, float]:
        """It stays between 0 and 1."""
        below = sum((row.accuracy - row.interval[0]) ** 2 for row in self.tasks) ** 0.5
        above = sum((row.interval[1] - row.accuracy) ** 2 for row in self.tasks) ** 0.5
        return self.accuracy - below / len(self.tasks), self.accuracy + above / len(self.tasks)


def macro_rows(rows: Sequence[ReportRow]) -> list[MacroRow]:
    """Return a row for each student and each group of which it has every task, all whole or all under one limit."""
    found = []
    for student in dict.fromkeys(row.student for row in rows):
        by_task = {row.score.task: row for row in rows if row.student == student}
        for group, benchmarks in GROUPS.items():
            tasks = [by_task[f"cot_{benchmark}"] for benchmark in benchmarks if f"cot_{benchmark}" in by_task]
            if len(tasks) == len(benchmarks) and len({row.score.limit for row in tasks}) == 1:
                found.append(MacroRow(student, group, tasks))
    return found


def read_rows(students: Sequence[Path]) -> list[ReportRow]:
    """Return a row for each student and each task that it has results of, by task.

    Raises:
        CotDistillError: a student has no results, or they do not belong to it (`scores.read_scores`); two are of
            different versions of a task.
    """
    scored = [(student, score) for student in dict.fromkeys(students) for score in read_scores(student)]
    versions: dict[str, set[float]] = {}
    for _, score in scored:
        versions.setdefault(score.task, set()).add(score.version)
        if len(versions[score.task]) > 1:
            raise CotDistillError(
                f"`{score.task}` was asked in several versions ({sorted(versions[score.task])}), which cannot be "
                "compared: evaluate the older ones again."
            )
    scored.sort(key=lambda found: list(versions).index(found[1].task))
    return [ReportRow(student, score, read_provenance(student)) for student, score in scored]


def table(rows: Sequence[ReportRow]) -> str:
    """Return the scores as a Markdown table, with the macro averages of whole groups behind them."""
    return render_page("scores.md.jinja", rows=rows, macros=macro_rows(rows), label=label)


def write_report(folder: Path, students: Sequence[Path]) -> Path:
    """Write `report.json`, `report.png` and `report.md` into `folder`, and return the last one's path."""
    rows = read_rows(students)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.json", json.dumps([_facts(row) for row in rows], indent=1) + "\n")
    by_task = {task: list(of_task) for task, of_task in groupby(rows, key=lambda row: row.score.task)}
    _draw(by_task, folder / ".report.new.png")
    os.replace(folder / ".report.new.png", folder / "report.png")
    trained = list({row.student: row for row in rows if row.made}.values())
    page = render_page("report.md.jinja", table=table(rows), by_task=by_task, trained=trained, label=label)
    write_whole(folder / "report.md", page)
    return folder / "report.md"


def _facts(row: ReportRow) -> dict[str, object]:
    low, high = row.interval
    made = {"config": row.made.config, "train_examples": row.made.train_examples} if row.made else {}
    counted = {"student": str(row.student), "accuracy": row.accuracy, "low": low, "high": high}
    return counted | dataclasses.asdict(row.score) | made


def _draw(by_task: dict[str, list[ReportRow]], path: Path) -> None:
    """Draw accuracy with its interval, and the tokens that a student writes for it: two panels a task."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [1.2 + 0.5 * len(rows) for rows in by_task.values()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(by_task), 2, squeeze=False, width_ratios=(2, 1), height_ratios=heights)
    for (accuracy, tokens), (task, rows) in zip(panels, by_task.items()):
        _draw_task(accuracy, tokens, task, rows)
    figure.savefig(path, dpi=150)


def _draw_task(accuracy: Axes, tokens: Axes, task: str, rows: list[ReportRow]) -> None:
    places = range(len(rows))
    percent = [100 * row.accuracy for row in rows]
    below = [100 * (row.accuracy - row.interval[0]) for row in rows]
    above = [100 * (row.interval[1] - row.accuracy) for row in rows]
    accuracy.barh(places, percent, xerr=(below, above), color="#4c72b0", ecolor="#222222", capsize=4, height=0.6)
    for place, row in zip(places, rows):
        accuracy.text(
            100 * row.interval[1] + 2, place, f"{100 * row.accuracy:.1f} %  (n = {row.score.n})", va="center"
        )
    accuracy.set(yticks=places, yticklabels=[label(row.student) for row in rows], xticks=range(0, 101, 20))
    accuracy.set(xlabel=f"accuracy on {task}, %, with 95 % interval", xlim=(0, 130), ylim=(len(rows) - 0.5, -0.5))
    bars = tokens.barh(places, [row.score.mean_output_tokens for row in rows], color="#dd8452", height=0.6)
    tokens.bar_label(bars, fmt="%.0f", padding=4)
    tokens.set(xlabel="output tokens, mean", ylim=(len(rows) - 0.5, -0.5), yticks=places, yticklabels=[])
    tokens.margins(x=0.2)
    for axes in (accuracy, tokens):
        axes.tick_params(left=False)
        axes.spines[["top", "right"]].set_visible(False)

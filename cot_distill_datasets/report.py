"""The report of students' results: a table with intervals, a figure, and a sample answer of each beside the gold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from scipy.stats import binomtest, norm

from .benchmarks import GROUPS
from .cards import render_page
from .folders import write_whole
from .provenance import Provenance, read_provenance
from .scores import Score, read_scores


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
    def label(self) -> str:
        """What the table and the figure call the student: its folder, without the `runs/` that all have."""
        return str(self.student).removeprefix("runs/")

    @property
    def accuracy(self) -> float:
        """Share of the questions that the headline filter calls correct, between 0 and 1."""
        return self.score.correct / self.score.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval over the questions; it says nothing of another seed."""
        low, high = binomtest(self.score.correct, self.score.n).proportion_ci(method="wilson")
        return float(low), float(high)


@dataclass(frozen=True)
class MacroRow:
    """One student on a group of tasks: the mean of its tasks' accuracies, each of the same weight.

    The interval is normal, from the binomial variances of the tasks (as lm-eval has it for a group): over the
    questions, not over the choice of benchmarks.
    """

    label: str
    group: str
    tasks: list[ReportRow]

    @property
    def accuracy(self) -> float:
        """The mean, between 0 and 1."""
        return mean(row.accuracy for row in self.tasks)

    @property
    def flexible(self) -> float:
        """The same by the flexible filter."""
        return mean(row.score.flexible_correct / row.score.n for row in self.tasks)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        variances = [row.accuracy * (1 - row.accuracy) / row.score.n for row in self.tasks]
        half = float(norm.ppf(0.975)) * sum(variances) ** 0.5 / len(self.tasks)
        return self.accuracy - half, self.accuracy + half


def macro_rows(rows: Sequence[ReportRow]) -> list[MacroRow]:
    """Return a row for each student and each group of which it has every task."""
    found = []
    for label in dict.fromkeys(row.label for row in rows):
        by_task = {row.score.task: row for row in rows if row.label == label}
        for group, benchmarks in GROUPS.items():
            tasks = [by_task[f"cot_{benchmark}"] for benchmark in benchmarks if f"cot_{benchmark}" in by_task]
            if len(tasks) == len(benchmarks):
                found.append(MacroRow(label, group, tasks))
    return found


def read_rows(students: Sequence[Path]) -> list[ReportRow]:
    """Return a row for each student and each task that it has results of, by task.

    Raises:
        CotDistillError: a student has no results, or they do not belong to it (`scores.read_scores`).
    """
    scored = [(student, score) for student in students for score in read_scores(student)]
    tasks = list(dict.fromkeys(score.task for _, score in scored))
    scored.sort(key=lambda found: tasks.index(found[1].task))
    return [ReportRow(student, score, read_provenance(student)) for student, score in scored]


def table(rows: Sequence[ReportRow]) -> str:
    """Return the scores as a Markdown table, with the macro averages of whole groups behind them."""
    return render_page("scores.md.jinja", rows=rows, macros=macro_rows(rows))


def write_report(folder: Path, students: Sequence[Path]) -> Path:
    """Write `report.json`, `report.png` and `report.md` into `folder`, and return the last one's path."""
    rows = read_rows(students)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.json", json.dumps([_facts(row) for row in rows], indent=1) + "\n")
    by_task = {task: list(of_task) for task, of_task in groupby(rows, key=lambda row: row.score.task)}
    _draw(by_task, folder / "report.png")
    trained = list({row.student: row for row in rows if row.made}.values())
    page = render_page("report.md.jinja", table=table(rows), by_task=by_task, trained=trained)
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
        accuracy.text(100 * row.interval[1] + 2, place, f"{100 * row.accuracy:.1f} %", va="center")
    accuracy.set(yticks=places, yticklabels=[row.label for row in rows], xlim=(0, 115), xticks=range(0, 101, 20))
    questions = rows[0].score.n
    accuracy.set(xlabel=f"accuracy on {task}, %, with 95 % interval (n = {questions})", ylim=(len(rows) - 0.5, -0.5))
    bars = tokens.barh(places, [row.score.mean_output_tokens for row in rows], color="#dd8452", height=0.6)
    tokens.bar_label(bars, fmt="%.0f", padding=4)
    tokens.set(xlabel="output tokens, mean", ylim=(len(rows) - 0.5, -0.5), yticks=places, yticklabels=[])
    tokens.margins(x=0.2)
    for axes in (accuracy, tokens):
        axes.tick_params(left=False)
        axes.spines[["top", "right"]].set_visible(False)

"""Figures: scores of several students, what a study found, and the loss curve of a student.

Each is written to all of its paths, whose suffixes (`.png`, `.svg`) decide the formats. Names are drawn as text, with
their `$`. The text of an SVG is text, and the same figure is the same file.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which would look for a screen
from matplotlib.ticker import LogFormatter

from ..files import atomic_file


LOSS_CURVE = "loss.png"
LABEL_WIDTH = 36  # characters of a line: longer ones would leave no room for the bars

_styled = rc_context({"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "cot-distill"})


class _PlainLogFormatter(LogFormatter):
    """Labels the same ticks, but with 0.5 instead of 5e-1."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


class Bar(NamedTuple):
    """A student in a figure: its accuracy on `n` questions, a share as its interval, and its mean output tokens.

    `seeds` are the accuracies of the seeds, if it has several.
    """

    label: str
    accuracy: float
    interval: tuple[float, float]
    n: int
    output_tokens: float
    seeds: Sequence[float] = ()


@_styled
def draw_scores(by_task: Mapping[str, Sequence[Bar]], *paths: Path) -> None:
    """Draw accuracy with its interval and a dot for each seed, and mean output tokens: two panels per task."""
    heights = [1.2 + 0.5 * len(bars) for bars in by_task.values()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(by_task), 2, squeeze=False, width_ratios=(2, 1), height_ratios=heights)
    for (accuracy, tokens), (task, bars) in zip(panels, by_task.items()):
        _draw_task(accuracy, tokens, task, bars)
    _save(figure, *paths)


def _draw_task(accuracy: Axes, tokens: Axes, task: str, bars: Sequence[Bar]) -> None:
    places = range(len(bars))
    percent = [100 * bar.accuracy for bar in bars]
    below = [100 * (bar.accuracy - bar.interval[0]) for bar in bars]
    above = [100 * (bar.interval[1] - bar.accuracy) for bar in bars]
    accuracy.barh(places, percent, xerr=(below, above), color="#4c72b0", ecolor="#222222", capsize=4, height=0.6)
    for place, bar in zip(places, bars):
        seeds = [100 * seed for seed in bar.seeds]
        end = max(100 * bar.interval[1], *seeds, 0)
        accuracy.text(end + 2, place, f"{100 * bar.accuracy:.1f}%  (n = {bar.n})", va="center")
        accuracy.scatter(seeds, [place] * len(seeds), s=12, facecolors="white", edgecolors="#222222", zorder=3)
    labels = [textwrap.fill(bar.label, LABEL_WIDTH, break_on_hyphens=False) for bar in bars]
    accuracy.set(yticks=places, yticklabels=labels, xticks=range(0, 101, 20))
    seeds_too = " (circles: seeds)" if any(bar.seeds for bar in bars) else ""
    accuracy.set(
        xlabel=f"accuracy on {task}, %, with 95% interval{seeds_too}", xlim=(0, 130), ylim=(len(bars) - 0.5, -0.5)
    )
    drawn = tokens.barh(places, [bar.output_tokens for bar in bars], color="#dd8452", height=0.6)
    tokens.bar_label(drawn, fmt="%.0f", padding=4)
    tokens.set(xlabel="output tokens, mean", ylim=(len(bars) - 0.5, -0.5), yticks=places, yticklabels=[])
    tokens.margins(x=0.2)
    for axes in (accuracy, tokens):
        axes.tick_params(left=False)
        axes.spines[["top", "right"]].set_visible(False)


@_styled
def draw_loss(log_history: Sequence[Mapping[str, Any]], student: Path, name: str) -> None:
    """Draw the loss of each logged step into a student's folder, under the student's name."""
    logs = [log for log in log_history if "loss" in log]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([log["step"] for log in logs], [log["loss"] for log in logs], marker=".")
    axes.set(xlabel="step", ylabel="loss (nats per supervised token)", ylim=(0, None), title=name)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, student / LOSS_CURVE)


class Point(NamedTuple):
    """A config in a figure: mean words of its rationales, mean output tokens of its students, and their accuracy."""

    label: str
    words: float
    output_tokens: float
    accuracy: float  # a share, as the interval
    interval: tuple[float, float]


class Curve(NamedTuple):
    """The levels of one teacher for one student. `baseline` is the accuracy of the untrained base."""

    student: str
    teacher: str
    levels: Sequence[Point]
    baseline: float | None
    answer_only: Point | None


@_styled
def draw_granularity(curves: Sequence[Curve], title: str, *paths: Path) -> None:
    """Draw accuracy over the measured words of the supervision, and over the tokens of the answers."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    students = list(dict.fromkeys(curve.student for curve in curves))
    teachers = list(dict.fromkeys(curve.teacher for curve in curves))
    for axes, measure in zip(panels, ("words", "output_tokens")):
        for curve in curves:
            color = f"C{students.index(curve.student)}"
            marker = "osD^vP"[teachers.index(curve.teacher) % 6]
            _draw_curve(axes, curve, measure, color, marker)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set(xlabel="words of a rationale, mean", ylabel="accuracy, %, with 95% interval")
    panels[1].set(xlabel="output tokens of an answer, mean")
    figure.suptitle(title)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = dict(sorted(zip(labels, handles), key=lambda entry: entry[0]))  # each student's entries together
    figure.legend(
        legend.values(), legend.keys(), loc="outside lower center", ncols=min(len(students), 3), frameon=False
    )
    _save(figure, *paths)


def _draw_curve(axes: Axes, curve: Curve, measure: str, color: str, marker: str) -> None:
    _draw_points(axes, curve.levels, measure, color, f"{marker}-", f"{curve.student}, levels of {curve.teacher}")
    for point in curve.levels:
        place = (getattr(point, measure), 100 * point.interval[1])
        axes.annotate(point.label, place, (0, 3), textcoords="offset points", ha="center", color=color, size="small")
    if curve.answer_only:
        _draw_points(axes, [curve.answer_only], measure, color, "x", f"{curve.student}, answer-only")
    if curve.baseline is not None:
        axes.axhline(100 * curve.baseline, color=color, linestyle=":", label=f"{curve.student}, untrained base")


def _draw_points(axes: Axes, points: Sequence[Point], measure: str, color: str, style: str, label: str) -> None:
    places = [getattr(point, measure) for point in points]
    accuracies = [100 * point.accuracy for point in points]
    below = [100 * (point.accuracy - point.interval[0]) for point in points]
    above = [100 * (point.interval[1] - point.accuracy) for point in points]
    axes.errorbar(places, accuracies, (below, above), fmt=style, color=color, capsize=3, label=label)


class Difference(NamedTuple):
    """A row of a figure: what is compared with what, and the difference in accuracy, a share as its interval."""

    label: str
    difference: float
    interval: tuple[float, float]


@_styled
def draw_differences(rows: Sequence[Difference], margin: float, *paths: Path) -> None:
    """Draw differences with their intervals. A band of ±`margin` points has those that count as none."""
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-margin, margin, color="#eeeeee", label=f"within ±{margin:g} points")
    axes.axvline(0, color="#888888", linewidth=1)
    for place, row in enumerate(rows):
        low, high = (100 * abs(end - row.difference) for end in row.interval)
        axes.errorbar(100 * row.difference, place, xerr=[[low], [high]], fmt="o", color="#4c72b0", capsize=3)
    axes.set(yticks=range(len(rows)), yticklabels=[row.label for row in rows], ylim=(len(rows) - 0.5, -0.5))
    axes.set(xlabel="difference in accuracy, points, with 95% interval")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False)
    _save(figure, *paths)


@_styled
def draw_losses(curves: Mapping[str, Sequence[Sequence[tuple[int, float]]]], title: str, *paths: Path) -> None:
    """Draw the losses of each config's students, as pairs of a step and its loss: one color per config."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (config, students) in enumerate(curves.items()):
        color, line = f"C{number % 10}", "-" if number < 10 else "--"
        for index, losses in enumerate(students):
            steps, values = zip(*losses)
            label = None if index else config
            axes.plot(steps, values, color=color, linestyle=line, alpha=0.7, label=label)
    axes.set(xlabel="step", ylabel="loss (nats per supervised token)", yscale="log", title=title)
    axes.yaxis.set_major_formatter("{x:g}")  # not powers of 10 in mathtext
    # The ticks between powers of 10 are labeled if there is one decade or less.
    axes.yaxis.set_minor_formatter(_PlainLogFormatter(minor_thresholds=(1, 0.4)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    _save(figure, *paths)


def _save(figure: Figure, *paths: Path) -> None:
    for path in paths:
        # Without the time, and without the addresses of vocabularies that a page has no use for.
        metadata = dict.fromkeys(["Date", "Creator", "Format", "Type"]) if path.suffix == ".svg" else None
        with atomic_file(path) as staged:
            figure.savefig(staged, dpi=150, metadata=metadata, format=path.suffix[1:])

"""Figures: scores of several students, and the loss curve of one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which would look for a screen

from ..evaluation.scores import Score, label


LOSS_CURVE = "loss.png"


def draw_scores(by_task: Mapping[str, Sequence[Score]], path: Path) -> None:
    """Draw accuracy with its interval, and mean output tokens: two panels per task."""
    heights = [1.2 + 0.5 * len(scores) for scores in by_task.values()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(by_task), 2, squeeze=False, width_ratios=(2, 1), height_ratios=heights)
    for (accuracy, tokens), (task, scores) in zip(panels, by_task.items()):
        _draw_task(accuracy, tokens, task, scores)
    _save(figure, path)


def _draw_task(accuracy: Axes, tokens: Axes, task: str, scores: Sequence[Score]) -> None:
    places = range(len(scores))
    percent = [100 * score.accuracy for score in scores]
    below = [100 * (score.accuracy - score.interval[0]) for score in scores]
    above = [100 * (score.interval[1] - score.accuracy) for score in scores]
    accuracy.barh(places, percent, xerr=(below, above), color="#4c72b0", ecolor="#222222", capsize=4, height=0.6)
    for place, score in zip(places, scores):
        text = f"{100 * score.accuracy:.1f}%  (n = {score.n})"
        accuracy.text(100 * score.interval[1] + 2, place, text, va="center")
    accuracy.set(yticks=places, yticklabels=[label(score.student) for score in scores], xticks=range(0, 101, 20))
    accuracy.set(xlabel=f"accuracy on {task}, %, with 95% interval", xlim=(0, 130), ylim=(len(scores) - 0.5, -0.5))
    bars = tokens.barh(places, [score.mean_output_tokens for score in scores], color="#dd8452", height=0.6)
    tokens.bar_label(bars, fmt="%.0f", padding=4)
    tokens.set(xlabel="output tokens, mean", ylim=(len(scores) - 0.5, -0.5), yticks=places, yticklabels=[])
    tokens.margins(x=0.2)
    for axes in (accuracy, tokens):
        axes.tick_params(left=False)
        axes.spines[["top", "right"]].set_visible(False)


def draw_loss(log_history: Sequence[Mapping[str, Any]], student: Path, name: str) -> None:
    """Draw the loss of each logged step into a student's folder, under the student's name."""
    logs = [log for log in log_history if "loss" in log]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([log["step"] for log in logs], [log["loss"] for log in logs], marker=".")
    axes.set(xlabel="step", ylabel="loss (nats per supervised token)", ylim=(0, None), title=name)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, student / LOSS_CURVE)


def _save(figure: Figure, path: Path) -> None:
    staged = path.with_name(f".{path.stem}.new{path.suffix}")
    figure.savefig(staged, dpi=150)
    os.replace(staged, path)

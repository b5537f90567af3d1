"""The report of a study: a table with intervals, a figure, and a sample answer of each student beside the gold."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.stats import binomtest

from .cards import render_page


if TYPE_CHECKING:
    from .evaluate import Score
    from .provenance import Provenance


@dataclass(frozen=True)
class ReportRow:
    """One student's line: `accuracy` with its 95 % Wilson interval, all between 0 and 1."""

    student: str
    config: str | None  # null: untrained
    n: int
    accuracy: float
    low: float
    high: float
    mean_output_tokens: float
    train_examples: int
    train_seconds: float

    @classmethod
    def of(cls, provenance: Provenance | None, score: Score) -> ReportRow:
        """Join what was trained and what was scored; without provenance the student is the untrained one."""
        interval = binomtest(score.correct, score.n).proportion_ci(method="wilson")
        return cls(
            student=provenance.student if provenance else "demo",
            config=provenance.config if provenance else None,
            n=score.n,
            accuracy=round(score.correct / score.n, 4),
            low=round(interval.low, 4),
            high=round(interval.high, 4),
            mean_output_tokens=score.mean_output_tokens,
            train_examples=provenance.train_examples if provenance else 0,
            train_seconds=provenance.train_seconds if provenance else 0.0,
        )

    @property
    def label(self) -> str:
        """What the table and the figure call it."""
        return self.config or "untrained"


def write_report(folder: Path, rows: list[ReportRow], samples: dict[str, Score]) -> Path:
    """Write `report.json`, `report.png` and `report.md` into `folder`, and return the last one's path."""
    (folder / "report.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    _draw(rows, folder / "report.png")
    (folder / "report.md").write_text(render_page("report.md.jinja", rows=rows, samples=samples))
    return folder / "report.md"


def _draw(rows: list[ReportRow], path: Path) -> None:
    """Draw accuracy with its interval, and the tokens that a student writes for it, one line a student."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, tokens = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    places = range(len(rows))
    below = [100 * (row.accuracy - row.low) for row in rows]
    above = [100 * (row.high - row.accuracy) for row in rows]
    percent = [100 * row.accuracy for row in rows]
    accuracy.barh(places, percent, xerr=(below, above), color="#4c72b0", ecolor="#222222", capsize=4, height=0.6)
    for place, row in zip(places, rows):
        accuracy.text(100 * row.high + 2, place, f"{100 * row.accuracy:.1f} %", va="center")
    accuracy.set(yticks=places, yticklabels=[row.label for row in rows], xlim=(0, 115), xticks=range(0, 101, 20))
    accuracy.set(
        xlabel=f"accuracy on cot_arith, %, with 95 % interval (n = {rows[0].n})", ylim=(len(rows) - 0.5, -0.5)
    )
    bars = tokens.barh(places, [row.mean_output_tokens for row in rows], color="#dd8452", height=0.6)
    tokens.bar_label(bars, fmt="%.0f", padding=4)
    tokens.set(xlabel="output tokens, mean")
    tokens.margins(x=0.2)
    tokens.tick_params(left=False)
    for axes in (accuracy, tokens):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("What a student of 0.9M parameters learns from each supervision", fontsize=12)
    figure.savefig(path, dpi=150)

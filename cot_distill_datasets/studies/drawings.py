"""The figures of a study's report, each as a PNG and an SVG file beside its records."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..reports.figures import (
    Bar,
    Curve,
    Difference,
    Point,
    draw_differences,
    draw_granularity,
    draw_losses,
    draw_scores,
)
from ..templates import printable
from .findings import Section, Verdict
from .study import axis_texts


Losses = Mapping[tuple[str, ...], Mapping[str, list[Any]]]  # of the students of each config, by what they share


def draw_figures(
    folder: Path, sections: Iterable[Section], words: Mapping[str, float], losses: Losses, margin: float
) -> dict[str, str]:
    """Draw what a study found, and return the PNG's name of each figure with its description.

    `words` are the mean words of each config's rationales. `margin` is in points.
    """
    figures: dict[str, str] = {}

    def draw(description: str, name: Iterable[str], function: Callable[..., None], *data: Any) -> None:
        path = folder / (re.sub(r"[^\w.=-]", "_", "-".join(name)) + ".png")
        function(*data, path, path.with_suffix(".svg"))
        figures[path.name] = description

    for title, curves in _granularity(sections, words).items():
        about = "Accuracy over the words of the supervision and over output tokens"
        draw(about, ["granularity", *title], draw_granularity, curves, ", ".join(title))
    bars = _bars(sections)
    draw("Accuracy of each student, with its seeds, and output tokens", ["scores"], draw_scores, bars)
    if differences := _differences(sections):
        draw("Formats against plain CoT, and teachers", ["differences"], draw_differences, differences, margin)
    for title, of_config in losses.items():
        draw("Loss of each training step", ["losses", *title], draw_losses, of_config, ", ".join(title))
    return figures


def _bars(sections: Iterable[Section]) -> dict[str, list[Bar]]:
    """Return the scores of all arms by task, and those of a base once, though several sections have it."""
    bars: dict[str, dict[str, Bar]] = {}
    for section in sections:
        for name, arm in [*section.baselines.items(), *section.arms.items()]:
            values = axis_texts(section.axes) if name in section.arms else []
            label = printable(" ".join([section.place.student, name, *values]))
            seeds = arm.answers.mean(1).tolist() if len(arm.seeds) > 1 else ()
            bar = Bar(label, arm.accuracy, section.interval(name), arm.questions, arm.output_tokens, seeds)
            bars.setdefault(printable(section.place.task), {}).setdefault(label, bar)
    return {task: list(by_label.values()) for task, by_label in bars.items()}


def _granularity(sections: Iterable[Section], words: Mapping[str, float]) -> dict[tuple[str, ...], list[Curve]]:
    """Return the curves of each figure: one for each task, and for each value of the further axes."""
    by_title: dict[tuple[str, ...], list[Curve]] = {}
    for section in sections:
        if curves := _curves(section, words):
            by_title.setdefault(_title(section), []).extend(curves)
    return by_title


def _title(section: Section) -> tuple[str, ...]:
    """Return what a figure is about: the task, the benchmark of training if it is another, and the further axes."""
    place = section.place
    benchmark = [] if place.task == f"cot_{place.benchmark}" else [f"trained on {place.benchmark}"]
    return tuple(map(printable, (place.task, *benchmark, *axis_texts(section.axes))))


def _curves(section: Section, words: Mapping[str, float]) -> list[Curve]:
    """Return a curve for each teacher of a section."""

    def point(label: str, config: str) -> Point:
        arm = section.arms[config]
        return Point(label, words[config], arm.output_tokens, arm.accuracy, section.interval(config))

    answer_only = point("answer-only", section.answer_only) if section.answer_only in section.arms else None
    baseline = max((arm.accuracy for arm in section.baselines.values()), default=None)
    return [
        Curve(
            printable(section.place.student),
            verdict.about,
            [point(level, config) for level, config in verdict.configs.items()],
            baseline,
            answer_only,
        )
        for verdict in section.granularity
    ]


def _differences(sections: Iterable[Section]) -> list[Difference]:
    """Return the comparisons that the findings about formats and teachers rest on."""
    rows = []
    for section in sections:
        student, *axes = printable(section.place.student), *_title(section)
        verdicts: list[tuple[list[str], Verdict]] = [([], verdict) for verdict in section.formats]
        verdicts += [([verdict.about], verdict) for verdict in section.teachers]
        for level, verdict in verdicts:
            for c in verdict.finding.comparisons:
                label = ", ".join([student, *axes, *level, f"{c.arm} against {c.reference}"])
                rows.append(Difference(label, c.difference, c.interval))
    return rows

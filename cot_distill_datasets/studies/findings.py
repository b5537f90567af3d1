"""Findings of a study: what its outcomes say about each student, as verdicts.

An arm is all students that differ in nothing but the training seed. The arms of one section are compared: they have
the same student, benchmark of training, task, and values of the further axes. The noise of training is pooled over all
arms of a student on one benchmark and task.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from ..evaluation.statistics import Answers, Contrast, SeedNoise, contrast, score_interval, seed_noise
from ..evaluation.verdicts import ABOVE, Arms, Comparison, Finding, against_baseline, formats, granularity, teachers
from ..names import DEFAULT_FORMAT, ConfigName
from .study import UNTRAINED, answer_config


MIN_LEVELS = 3  # of a finding about granularity: fewer have no interior
PLAIN = "plain CoT"  # the reference of the formats, in `verdicts.formats`

Axes = tuple[tuple[str, str], ...]  # the further axes that an arm has, with their values

_Value = TypeVar("_Value")
_MEANS = ("no_answer", "truncated", "output_tokens")


@dataclass(frozen=True)
class Arm:
    """The answers of all students of one config, in the order of `seeds`, and of the questions' ids.

    `no_answer` and `truncated` are shares of the answers, `output_tokens` is their mean.
    """

    seeds: tuple[int, ...]
    answers: Answers
    no_answer: float
    truncated: float
    output_tokens: float

    @property
    def accuracy(self) -> float:
        """The share of correct answers."""
        return float(self.answers.mean())

    @property
    def questions(self) -> int:
        """The number of test questions."""
        return int(self.answers.shape[1])

    @property
    def spread(self) -> float | None:
        """The standard deviation of the accuracies of the seeds, or None if there is one seed."""
        return statistics.stdev(map(float, self.answers.mean(1))) if len(self.seeds) > 1 else None


class Place(NamedTuple):
    """Where a student is measured. The arms of one place share the untrained base and the noise of training."""

    student: str
    benchmark: str  # of training
    task: str


class Verdict(NamedTuple):
    """A finding. `about` is its teacher, level or config; `configs` maps the names in its comparisons to configs."""

    about: str
    finding: Finding
    configs: Mapping[str, str]


@dataclass(frozen=True)
class Section:
    """All findings about one student on one task, with one value of each further axis.

    `arms` are keyed by config, `baselines` by how the untrained base was asked. `granularity` has a verdict for each
    teacher, `formats` for each config with a format, `teachers` for each level, `baseline` for each arm.
    """

    place: Place
    axes: Axes
    arms: dict[str, Arm]
    baselines: dict[str, Arm]
    noise: SeedNoise
    granularity: list[Verdict]
    formats: list[Verdict]
    teachers: list[Verdict]
    baseline: list[Verdict]

    @property
    def not_above(self) -> list[str]:
        """The configs whose students do not beat the better baseline."""
        return [verdict.about for verdict in self.baseline if verdict.finding.verdict != ABOVE]

    @property
    def noise_known(self) -> bool:
        """Whether some arm has several seeds."""
        return math.isfinite(self.noise.df)

    @property
    def verdicts(self) -> dict[str, list[Verdict]]:
        """The verdicts by the finding that they are about."""
        findings = ("granularity", "formats", "teachers", "baseline")
        return {name: getattr(self, name) for name in findings}

    @property
    def answer_only(self) -> str:
        """The config of the answer-only student."""
        return answer_config(self.place.benchmark)

    def interval(self, name: str) -> tuple[float, float]:
        """Return the 95% interval of the accuracy of an arm, or of a baseline, which has no noise of training."""
        if name in self.baselines:
            return score_interval(self.baselines[name].answers, seed_noise([]))
        return score_interval(self.arms[name].answers, self.noise)

    def against_base(self, config: str) -> Comparison | None:
        """Return the comparison of an arm with the better baseline, or None without one."""
        return next((verdict.finding.comparisons[0] for verdict in self.baseline if verdict.about == config), None)

    def against_answers(self, config: str) -> Contrast | None:
        """Return the contrast of an arm with the answer-only student, or None for that student or without it."""
        if config == self.answer_only or self.answer_only not in self.arms:
            return None
        return contrast(self.arms[config].answers, self.arms[self.answer_only].answers, self.noise)


def find(outcomes: pa.Table, accuracies: Mapping[str, float], margin: float) -> list[Section]:
    """Return the findings of a study; `outcomes` are as `records.outcomes` returns them.

    `accuracies` are those of the teachers that have one, by config. `margin` is a share: 0.05 is 5 points.
    """
    sections = []
    every = read_arms(outcomes)
    for place in dict.fromkeys(place for place, _ in every):
        here = {axes: arms for (other, axes), arms in every.items() if other == place}
        baselines = {name: arm for arms in here.values() for name, arm in arms.items() if _is_base(name)}
        trained = {
            axes: {name: arm for name, arm in arms.items() if not _is_base(name)} for axes, arms in here.items()
        }
        noise = seed_noise(arm.answers for arms in trained.values() for arm in arms.values())
        for axes in [axes for axes in trained if trained[axes]] or trained:  # without students, the base alone
            arms = {name: trained[axes][name] for name in sorted(trained[axes], key=ConfigName.parse)}
            answers = {name: arm.answers for name, arm in arms.items()}
            section = Section(
                place, axes, arms, baselines, noise,
                granularity=_granularity(answers, noise, margin),
                formats=_formats(answers, noise, margin),
                teachers=_teachers(answers, accuracies, noise),
                baseline=_baseline(answers, {name: arm.answers for name, arm in baselines.items()}, noise),
            )  # fmt: skip
            sections.append(section)
    return sections


def read_arms(outcomes: pa.Table) -> dict[tuple[Place, Axes], dict[str, Arm]]:
    """Return the arms of each place and value of the further axes, by config.

    The base has the names `untrained, 0 shots` and the like.
    """
    names = outcomes.column_names
    axes = names[names.index("task") + 1 : names.index("id")]
    keys = [*Place._fields, *axes, "config", "shots", "seed"]
    # Both steps keep the order of rows, so that the lists have the order of the ids.
    cells = outcomes.sort_by("id").group_by(keys, use_threads=False)
    table = cells.aggregate([("correct", "list"), *((name, "mean") for name in _MEANS)])
    arms: dict[tuple[Place, Axes], dict[str, list[dict[str, Any]]]] = {}
    for cell in table.sort_by("seed").to_pylist():
        place = Place(*(cell[name] for name in Place._fields))
        values = tuple((name, cell[name]) for name in axes if cell[name])
        config = f"{UNTRAINED}, {cell['shots']} shots" if _is_base(cell["config"]) else cell["config"]
        arms.setdefault((place, values), {}).setdefault(config, []).append(cell)
    return {key: {name: _arm(cells) for name, cells in configs.items()} for key, configs in arms.items()}


def _arm(cells: Sequence[Mapping[str, Any]]) -> Arm:
    answers = np.array([cell["correct_list"] for cell in cells], float)
    means = (statistics.fmean(cell[f"{name}_mean"] for cell in cells) for name in _MEANS)
    return Arm(tuple(cell["seed"] for cell in cells), answers, *means)


def _is_base(config: str) -> bool:
    return config.startswith(UNTRAINED)


def _baseline(arms: Arms, baselines: Arms, noise: SeedNoise) -> list[Verdict]:
    """Return whether each arm beats the better baseline, if there are both."""
    findings = against_baseline(arms, baselines, noise) if arms and baselines else {}
    return [Verdict(config, finding, {}) for config, finding in findings.items()]


def _granularity(arms: Arms, noise: SeedNoise, margin: float) -> list[Verdict]:
    """Return how accuracy depends on the levels of each teacher's plain CoT."""
    levels: dict[str, dict[str, str]] = {}
    for config in arms:
        name = ConfigName.parse(config)
        if name.granularity and name.format == DEFAULT_FORMAT:
            levels.setdefault(name.teacher, {})[f"l{name.granularity}"] = config
    levels = {teacher: configs for teacher, configs in levels.items() if len(configs) >= MIN_LEVELS}
    findings = granularity({teacher: _pick(arms, configs) for teacher, configs in levels.items()}, noise, margin)
    return [Verdict(teacher, finding, levels[teacher]) for teacher, finding in findings.items()]


def _formats(arms: Arms, noise: SeedNoise, margin: float) -> list[Verdict]:
    """Return how each format compares with plain CoT of the same teacher and level."""
    plain = {config: str(replace(ConfigName.parse(config), format=DEFAULT_FORMAT)) for config in arms}
    pairs = {config: (arms[config], arms[of]) for config, of in plain.items() if of in arms and of != config}
    return [
        Verdict(config, finding, {PLAIN: plain[config]}) for config, finding in formats(pairs, noise, margin).items()
    ]


def _teachers(arms: Arms, accuracies: Mapping[str, float], noise: SeedNoise) -> list[Verdict]:
    """Return whether the most accurate teacher's students are best, at each level of plain CoT."""
    levels: dict[str, dict[str, str]] = {}
    for config in arms:
        name = ConfigName.parse(config)
        if name.format == DEFAULT_FORMAT and name.granularity and config in accuracies:
            levels.setdefault(f"l{name.granularity}", {})[name.teacher] = config
    levels = {level: configs for level, configs in sorted(levels.items()) if len(configs) > 1}
    shares = {level: _pick(accuracies, configs) for level, configs in levels.items()}
    students = {level: _pick(arms, configs) for level, configs in levels.items()}
    return [Verdict(level, finding, levels[level]) for level, finding in teachers(shares, students, noise).items()]


def _pick(values: Mapping[str, _Value], configs: Mapping[str, str]) -> dict[str, _Value]:
    """Return the values of configs, by the names that the configs have in a finding."""
    return {name: values[config] for name, config in configs.items()}

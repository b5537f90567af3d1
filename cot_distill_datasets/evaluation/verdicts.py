"""Verdicts: what a comparison claims, from a closed list of words.

At most 5% of studies without a difference claim one in a family: the tests that decide one finding about one student
on one benchmark, adjusted by Holm's method. `margin` is fixed before the study is run. A difference that is shown is
claimed even if it is smaller than the margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, isnan
from typing import NamedTuple

from scipy.stats import kendalltau

from .statistics import ALPHA, Answers, Contrast, SeedNoise, contrast, holm


CANNOT_TELL = "cannot tell"
ABOVE, NOT_ABOVE = "above the baseline", "not above the baseline"
MARGIN = 0.05

Arms = Mapping[str, Answers]  # by name, such as `l1`; the same questions in the same order


class Comparison(NamedTuple):
    """An arm against its reference. Differences are shares: 0.05 is 5 points.

    `p` is two-sided. `adjusted_p` is Holm's, of the claim that the comparison decides. `detectable` is the smallest
    difference that this design finds with 80% power. `noise_known`: there are several seeds, so that the interval
    covers the noise of training.
    """

    arm: str
    reference: str
    difference: float
    interval: tuple[float, float]
    p: float
    adjusted_p: float
    detectable: float
    noise_known: bool


@dataclass(frozen=True)
class Finding:
    """A verdict and the comparisons that decide it."""

    verdict: str
    comparisons: tuple[Comparison, ...]

    @property
    def detectable(self) -> float:
        """The smallest difference that every comparison of this design finds with 80% power."""
        return max(comparison.detectable for comparison in self.comparisons)


@dataclass(frozen=True)
class TeacherFinding(Finding):
    """`teacher` is the most accurate one; `tau` is Kendall's, between the teachers' and their students' accuracies.

    `tau` only describes: it is null if all teachers or all students are equal.
    """

    teacher: str
    tau: float | None


def granularity(levels: Arms, noise: SeedNoise, margin: float = MARGIN) -> Finding:
    """Return how accuracy depends on granularity; `levels` are ordered from the tersest to the finest.

    `peak at lN`: level N is above the tersest and above the finest. `rises`: no peak, and the finest is above the
    tersest. `falls`: the reverse. `flat within ±margin`: every two levels are. Otherwise `cannot tell`.

    A peak needs both of its one-sided tests (an intersection-union test: Berger 1982, "Multiparameter hypothesis
    testing and acceptance sampling", Technometrics 24). The family is one peak for each interior level, and the ends.
    """
    tersest, *interior, finest = levels
    contrasts = {pair: contrast(levels[pair[1]], levels[pair[0]], noise) for pair in combinations(levels, 2)}
    ends = contrasts[tersest, finest]
    sides = {n: (contrasts[tersest, n], _reverse(contrasts[n, finest])) for n in interior}
    adjusted = holm([max(side.p_above for side in sides[n]) for n in interior] + [ends.p])
    peaks = [n for n, p in zip(interior, adjusted) if p < ALPHA]
    if peaks:
        verdict = f"peak at {max(peaks, key=lambda n: levels[n].mean())}"
    elif adjusted[-1] < ALPHA:
        verdict = "rises" if ends.difference > 0 else "falls"
    elif all(pair.p_outside(margin) < ALPHA for pair in contrasts.values()):
        verdict = f"flat within {_points(margin)}"
    else:
        verdict = CANNOT_TELL
    comparisons = [
        _comparison(n, reference, side, p, tests=len(adjusted))
        for n, p in zip(interior, adjusted)
        for reference, side in zip((tersest, finest), sides[n])
    ]
    comparisons.append(_comparison(finest, tersest, ends, adjusted[-1], tests=len(adjusted)))
    return Finding(verdict, tuple(comparisons))


def formats(plain: Answers, others: Arms, noise: SeedNoise, margin: float = MARGIN) -> dict[str, Finding]:
    """Return for each format whether it `differs` from plain CoT, is the `same within ±margin`, or `cannot tell`.

    The tests of a difference are one family, and those of equivalence another.
    """
    contrasts = [contrast(arm, plain, noise) for arm in others.values()]
    adjusted = holm([pair.p for pair in contrasts])
    outside = holm([pair.p_outside(margin) for pair in contrasts])
    return {
        name: Finding(
            decide("differs", "differs", pair, p, p_outside, margin),
            (_comparison(name, "plain CoT", pair, p, tests=len(others)),),
        )
        for name, pair, p, p_outside in zip(others, contrasts, adjusted, outside)
    }


def decide(above: str, below: str, pair: Contrast, p: float, p_outside: float, margin: float) -> str:
    """Return the verdict on one contrast: `above` or `below` if it differs, then `same within ±margin`."""
    if p < ALPHA:
        return above if pair.difference > 0 else below
    return f"same within {_points(margin)}" if p_outside < ALPHA else CANNOT_TELL


def teachers(accuracies: Mapping[str, float], students: Arms, noise: SeedNoise) -> TeacherFinding:
    """Return whether the students of the most accurate teacher are `best`; both arguments are keyed by teacher.

    `best`: they are above the students of every other teacher (an intersection-union test). `not best`: those of some
    other teacher are above them. `cannot tell`: neither, or several teachers are the most accurate.
    """
    top = max(accuracies, key=lambda teacher: accuracies[teacher])
    others = [teacher for teacher in students if teacher != top]
    contrasts = [contrast(students[top], students[other], noise) for other in others]
    best, *beaten = holm([max(pair.p_above for pair in contrasts), *(_reverse(pair).p_above for pair in contrasts)])
    verdict = CANNOT_TELL
    if list(accuracies.values()).count(accuracies[top]) == 1:
        verdict = "best" if best < ALPHA else "not best" if min(beaten) < ALPHA else CANNOT_TELL
    tau = float(
        kendalltau([accuracies[name] for name in students], [arm.mean() for arm in students.values()]).statistic
    )
    return TeacherFinding(
        verdict,
        tuple(
            _comparison(top, other, pair, best if pair.difference > 0 else p, tests=len(others) + 1)
            for other, pair, p in zip(others, contrasts, beaten)
        ),
        top,
        None if isnan(tau) else tau,
    )


def against_baseline(arms: Arms, baselines: Arms, noise: SeedNoise) -> dict[str, Finding]:
    """Return for each arm whether it is `above the baseline` or `not above the baseline`.

    The baseline is the better one of `baselines`: the untrained model, asked in several ways. The arms are one family.
    """
    name = max(baselines, key=lambda name: baselines[name].mean())
    contrasts = [contrast(arm, baselines[name], noise, trained=False) for arm in arms.values()]
    return {
        arm: Finding(
            ABOVE if p < ALPHA else NOT_ABOVE,
            (_comparison(arm, name, pair, p, tests=len(arms)),),
        )
        for arm, pair, p in zip(arms, contrasts, holm([pair.p_above for pair in contrasts]))
    }


def _comparison(arm: str, reference: str, pair: Contrast, adjusted_p: float, tests: int) -> Comparison:
    return Comparison(
        arm, reference, pair.difference, pair.interval, pair.p, adjusted_p, pair.detectable(tests), isfinite(pair.df)
    )  # fmt: skip


def _reverse(pair: Contrast) -> Contrast:
    return Contrast(-pair.difference, pair.standard_error, pair.df)


def _points(margin: float) -> str:
    return f"±{100 * margin:g}"

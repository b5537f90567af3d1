"""Verdicts: what a comparison claims, from a closed list of words.

At most 5% of studies without a difference claim one in a family: all tests of one finding about one student on one
benchmark, adjusted by Holm's method. So the granularity of several teachers is one family, and so are all formats.
`margin` is fixed before the study is run. A difference that is shown is claimed even if it is smaller than the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import isfinite, isnan
from typing import NamedTuple

from scipy.stats import kendalltau

from .statistics import ALPHA, Answers, Contrast, SeedNoise, contrast, holm


CANNOT_TELL = "cannot tell"
ABOVE, NOT_ABOVE = "above the baseline", "not above the baseline"

Arms = Mapping[str, Answers]  # by name, such as `l1`; the same questions in the same order


class Comparison(NamedTuple):
    """An arm against its reference. Differences are shares: 0.05 is 5 points.

    `adjusted_p` is Holm's, of the claim that the comparison decides. `detectable` is the smallest difference that this
    design finds with 80% power. `noise_known`: there are several seeds, so that the interval covers the noise of
    training.
    """

    arm: str
    reference: str
    difference: float
    interval: tuple[float, float]
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


def granularity(teachers: Mapping[str, Arms], noise: SeedNoise, margin: float) -> dict[str, Finding]:
    """Return for each teacher how accuracy depends on granularity; its levels are ordered from the tersest.

    `peak at lN`: level N is above the tersest and above the finest. `rises`: no peak, and the finest is above the
    tersest. `falls`: the reverse. `flat within ±margin`: every two levels are. Otherwise `cannot tell`.

    A peak needs both of its one-sided tests (an intersection-union test: Berger 1982, "Multiparameter hypothesis
    testing and acceptance sampling", Technometrics 24). The family is one peak for each interior level, and the ends,
    of every teacher.
    """
    contrasts = {
        teacher: {pair: contrast(levels[pair[1]], levels[pair[0]], noise) for pair in combinations(levels, 2)}
        for teacher, levels in teachers.items()
    }
    adjusted = _adjust({t: _peaks_and_ends(levels, contrasts[t]) for t, levels in teachers.items()})
    tests = sum(map(len, adjusted.values()))
    return {
        teacher: _granularity(levels, contrasts[teacher], adjusted[teacher], tests, margin)
        for teacher, levels in teachers.items()
    }


_Pairs = Mapping[tuple[str, str], Contrast]  # the second level minus the first


def _sides(levels: Arms, contrasts: _Pairs) -> dict[str, tuple[Contrast, Contrast]]:
    """Return each interior level minus the tersest, and minus the finest."""
    tersest, *interior, finest = levels
    return {n: (contrasts[tersest, n], _reverse(contrasts[n, finest])) for n in interior}


def _ends(levels: Arms, contrasts: _Pairs) -> Contrast:
    tersest, *_, finest = levels
    return contrasts[tersest, finest]


def _peaks_and_ends(levels: Arms, contrasts: _Pairs) -> list[float]:
    """Return the p-value of a peak at each interior level, and that of the ends."""
    peaks = [max(side.p_above for side in sides) for sides in _sides(levels, contrasts).values()]
    return [*peaks, _ends(levels, contrasts).p]


def _granularity(levels: Arms, contrasts: _Pairs, adjusted: Sequence[float], tests: int, margin: float) -> Finding:
    tersest, *interior, finest = levels
    sides, ends = _sides(levels, contrasts), _ends(levels, contrasts)
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
        _comparison(n, reference, side, p, tests)
        for n, p in zip(interior, adjusted)
        for reference, side in zip((tersest, finest), sides[n])
    ]
    comparisons.append(_comparison(finest, tersest, ends, adjusted[-1], tests))
    return Finding(verdict, tuple(comparisons))


def formats(arms: Mapping[str, tuple[Answers, Answers]], noise: SeedNoise, margin: float) -> dict[str, Finding]:
    """Return for each format whether it `differs` from plain CoT, is the `same within ±margin`, or `cannot tell`.

    `arms` has the answers of each format, and those of plain CoT at its level. The tests of a difference are one
    family, and those of equivalence another.
    """
    contrasts = [contrast(arm, plain, noise) for arm, plain in arms.values()]
    adjusted = holm([pair.p for pair in contrasts])
    outside = holm([pair.p_outside(margin) for pair in contrasts])
    return {
        name: Finding(
            decide("differs", "differs", pair, p, p_outside, margin),
            (_comparison(name, "plain CoT", pair, p, tests=len(arms)),),
        )
        for name, pair, p, p_outside in zip(arms, contrasts, adjusted, outside)
    }


def decide(above: str, below: str, pair: Contrast, p: float, p_outside: float, margin: float) -> str:
    """Return the verdict on one contrast: `above` or `below` if it differs, then `same within ±margin`."""
    if p < ALPHA:
        return above if pair.difference > 0 else below
    return f"same within {_points(margin)}" if p_outside < ALPHA else CANNOT_TELL


def teachers(
    accuracies: Mapping[str, Mapping[str, float]], students: Mapping[str, Arms], noise: SeedNoise
) -> dict[str, TeacherFinding]:
    """Return for each level whether the students of the most accurate teacher are `best`.

    Both arguments are keyed by level, then by teacher. `best`: they are above the students of every other teacher (an
    intersection-union test). `not best`: those of some other teacher are above them. `cannot tell`: neither, or
    several teachers are the most accurate. All levels are one family.
    """
    tops = {level: max(shares, key=lambda teacher: shares[teacher]) for level, shares in accuracies.items()}
    contrasts = {
        level: {other: contrast(arms[tops[level]], arm, noise) for other, arm in arms.items() if other != tops[level]}
        for level, arms in students.items()
    }
    adjusted = _adjust({level: _best_and_beaten(pairs) for level, pairs in contrasts.items()})
    tests = sum(map(len, adjusted.values()))
    return {
        level: _teachers(accuracies[level], arms, tops[level], contrasts[level], adjusted[level], tests)
        for level, arms in students.items()
    }


def _best_and_beaten(contrasts: Mapping[str, Contrast]) -> list[float]:
    """Return the p-value of "above all others", and of each other teacher's being above."""
    return [max(pair.p_above for pair in contrasts.values()), *(_reverse(p).p_above for p in contrasts.values())]


def _teachers(
    accuracies: Mapping[str, float],
    students: Arms,
    top: str,
    contrasts: Mapping[str, Contrast],
    adjusted: Sequence[float],
    tests: int,
) -> TeacherFinding:
    best, *beaten = adjusted
    verdict = CANNOT_TELL
    if list(accuracies.values()).count(accuracies[top]) == 1:
        verdict = "best" if best < ALPHA else "not best" if min(beaten) < ALPHA else CANNOT_TELL
    tau = float(
        kendalltau([accuracies[name] for name in students], [arm.mean() for arm in students.values()]).statistic
    )
    comparisons = (
        _comparison(top, other, pair, best if pair.difference > 0 else p, tests)
        for (other, pair), p in zip(contrasts.items(), beaten)
    )
    return TeacherFinding(verdict, tuple(comparisons), top, None if isnan(tau) else tau)


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


def _adjust(p_values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return p-values by name, adjusted as one family."""
    adjusted = iter(holm([p for values in p_values.values() for p in values]))
    return {name: list(islice(adjusted, len(values))) for name, values in p_values.items()}


def _comparison(arm: str, reference: str, pair: Contrast, adjusted_p: float, tests: int) -> Comparison:
    return Comparison(
        arm, reference, pair.difference, pair.interval, adjusted_p, pair.detectable(tests), isfinite(pair.df)
    )  # fmt: skip


def _reverse(pair: Contrast) -> Contrast:
    return Contrast(-pair.difference, pair.standard_error, pair.df)


def _points(margin: float) -> str:
    return f"±{100 * margin:g}"

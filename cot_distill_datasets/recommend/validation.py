"""Validation: did the scores of an untrained student predict what finished studies measured with it?

A score predicts if it orders the configs as the accuracies of their students do: Kendall's tau-b, 1 for the same order
and -1 for the reverse. Directions are declared with the scores, before anything is measured, and nothing is tuned on
the accuracies. Answer-only students are left out, because a config without CoT has no score.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..evaluation.statistics import ALPHA
from .measurements import Measurement
from .ranking import RESAMPLES, Array, Sums, merits, resample
from .scores import SCORES


CONTROLS = [score.name for score in SCORES if score.is_control]
LENGTH = "words"  # the control that a score must beat
LEAST_CONFIGS = 3  # one pair of configs is ordered as measured by chance in half of all cases


def tau_b(first: Array, second: Array) -> Array:
    """Return Kendall's tau-b along the last axis, and 0 where all values are equal: they predict nothing.

    Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33. `scipy.stats.kendalltau` gives the same
    for one pair of lists, which takes too long for each of thousands of resamples.
    """
    rows, columns = np.triu_indices(first.shape[-1], 1)
    signs = [np.sign(values[..., rows] - values[..., columns]) for values in (first, second)]
    ordered = np.sqrt(np.prod([np.abs(sign).sum(-1) for sign in np.broadcast_arrays(*signs)], axis=0))
    concordant = (signs[0] * signs[1]).sum(-1)
    return np.asarray(np.divide(concordant, ordered, out=np.zeros_like(ordered), where=ordered > 0))


@dataclass(frozen=True)
class Validation:
    """A student's scores against its accuracies.

    `accuracies` are those of `configs`, `merits` the values of each score with the sign that makes higher ones better,
    and `resamples` its Kendall's tau with the accuracies in each resample.
    """

    measurement: Measurement
    configs: tuple[str, ...]
    accuracies: Array
    merits: Mapping[str, Array]
    resamples: Mapping[str, Array]

    @cached_property
    def taus(self) -> dict[str, float]:
        """Kendall's tau of each score."""
        return {name: float(tau_b(values, self.accuracies)) for name, values in self.merits.items()}


def validate(measurement: Measurement, sums: Mapping[str, Sums]) -> Validation | None:
    """Return how the scores of a student predict its accuracies, or None if too few configs have both.

    A resample has other scored questions, other test questions and, if some arm has several seeds, accuracies that
    differ by the noise of training that these show. It has the same configs. A score that some of them lack, such as
    the agreement of a human, is left out.
    """
    section = measurement.section
    configs = tuple(config for config in measurement.configs if config in sums[LENGTH].configs)
    if len(configs) < LEAST_CONFIGS:
        return None
    arms = [section.arms[config] for config in configs]
    answers, questions = np.array([arm.answers.mean(0) for arm in arms]), arms[0].questions
    deviations = np.sqrt([section.noise.component(questions) / len(arm.seeds) for arm in arms])
    noise = deviations * np.random.default_rng(2).standard_normal((RESAMPLES, len(arms)))
    accuracies = resample(questions, seed=1) @ answers.T / questions + noise
    values, taus = {}, {}
    for name, of_score in sums.items():
        if {*configs} <= {*of_score.configs}:
            columns = [of_score.configs.index(config) for config in configs]
            values[name] = merits(name, of_score.values[columns])
            taus[name] = tau_b(merits(name, of_score.resamples()[:, columns]), accuracies)
    return Validation(measurement, configs, answers.mean(1), values, taus)


@dataclass(frozen=True)
class Evidence:
    """How well a score predicted, as a mean over students.

    `interval` is the 95% interval of `tau` over resamples (`validate`). `p` is how often accuracies in a random order
    of the configs give a tau as high, so it covers the choice of configs. `p_length` is the p-value of "it does not
    predict, or not better than length", adjusted for the number of scores; None for a control.
    """

    tau: float
    interval: tuple[float, float]
    p: float
    p_length: float | None


def weigh(validations: Sequence[Validation]) -> dict[str, Evidence]:
    """Return the evidence for each score that all students have."""
    chance = _by_chance(validations)
    scores = [name for name in chance if name not in CONTROLS]
    highest = np.max([chance[name] for name in scores], axis=0)
    farthest = np.max([chance[name] - chance[LENGTH] for name in scores], axis=0)
    evidence = {}
    for name in chance:
        tau, length = (statistics.fmean(v.taus[each] for v in validations) for each in (name, LENGTH))
        low, high = np.quantile(np.mean([v.resamples[name] for v in validations], axis=0), [ALPHA / 2, 1 - ALPHA / 2])
        p_length = max(_p_value(highest, tau), _p_value(farthest, tau - length)) if name in scores else None
        evidence[name] = Evidence(tau, (float(low), float(high)), _p_value(chance[name], tau), p_length)
    return evidence


def _by_chance(validations: Sequence[Validation]) -> dict[str, Array]:
    """Return the mean tau of each score if the accuracies of all students follow a random order, `[order]`.

    Students of the same configs follow the same order: their accuracies are not independent.
    """
    configs = sorted({config for v in validations for config in v.configs})
    orders = _orders(len(configs))
    shuffled = [
        np.sort(v.accuracies)[orders[:, [configs.index(config) for config in v.configs]].argsort(1).argsort(1)]
        for v in validations
    ]
    names = [name for name in validations[0].taus if all(name in v.taus for v in validations)]
    return {
        name: np.mean([tau_b(v.merits[name], own) for v, own in zip(validations, shuffled)], axis=0) for name in names
    }


def _orders(configs: int) -> NDArray[np.int64]:
    """Return the ranks of configs in random orders, or in every order if there are not more, `[order, config]`."""
    if math.factorial(configs) <= RESAMPLES:
        return np.array(list(itertools.permutations(range(configs))))
    return np.random.default_rng(3).random((RESAMPLES, configs)).argsort(1)


def _p_value(by_chance: Array, observed: float) -> float:
    """Return the share of orders with at least the observed value, of which there is one."""
    return max(int((by_chance >= observed - 1e-9).sum()), 1) / len(by_chance)


def predictor(evidence: Mapping[str, Evidence]) -> str | None:
    """Return the score that predicted better than length, else length if it predicted, else None."""
    better = [name for name, e in evidence.items() if e.p_length is not None and e.p_length <= ALPHA]
    if better:
        return max(better, key=lambda name: evidence[name].tau)
    return LENGTH if evidence[LENGTH].p <= ALPHA else None

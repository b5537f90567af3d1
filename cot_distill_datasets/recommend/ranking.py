"""Rankings: the configs by each score, as far as the scored questions can tell them apart.

A score of a config is a ratio of sums over questions, so a bootstrap over questions is one matrix product. All configs
and scores have the same resampled questions, so that differences are paired. The intervals cover the choice of
questions alone: another sample of the teacher or other weights of the student are not in them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import CotDistillError
from ..evaluation.statistics import ALPHA
from .scores import SCORES


RESAMPLES = 1000
LEAST_QUESTIONS = 20  # the standard errors of a bootstrap over fewer are too small
GRACE = "grace"

Array = NDArray[np.float64]

_SIGN = {score.name: -1 if score.lower_is_better else 1 for score in SCORES}


@dataclass(frozen=True)
class Sums:
    """The numerators and denominators of a score, `[config, question]`, of the same questions for every config.

    GRACE has a value for each of its splits of the questions in place of a question.
    """

    configs: tuple[str, ...]
    numerators: Array
    denominators: Array
    of_splits: bool

    @property
    def questions(self) -> int:
        """The number of scored questions."""
        return int(self.numerators.shape[1])

    @property
    def values(self) -> Array:
        """The score of each config."""
        return np.asarray(self.numerators.sum(1) / self.denominators.sum(1))

    def resamples(self) -> Array:
        """Return the scores `[resample, config]` of resampled questions.

        The splits of GRACE have most questions in common, so that their mean varies by more than resampled splits
        show. Each split then counts as a resample, which varies by more than the mean.
        """
        if self.of_splits:
            return np.resize((self.numerators / self.denominators).T, (RESAMPLES, len(self.configs)))
        counts = resample(self.questions)
        return np.asarray((counts @ self.numerators.T) / (counts @ self.denominators.T))


@dataclass(frozen=True)
class Standing:
    """Where a config stands by one score.

    `rank` is 1 plus the number of configs that are better, so that configs that cannot be told apart may share it, and
    `last` the number of configs minus that of the worse ones: together they are the 95% interval of the config's true
    rank, for all configs of the score at once. `top` is the share of resamples in which the config is best.
    """

    config: str
    value: float
    rank: int
    last: int
    top: float


def read_sums(table: pa.Table) -> dict[str, Sums]:
    """Return the sums of each score of a table of scores (`forward.score_configs`).

    Raises CotDistillError if it has too few questions or configs to rank.
    """
    sums = {}
    for name in table["score"].unique().to_pylist():
        part = table.filter(pc.equal(table["score"], name)).sort_by([("config", "ascending"), ("id", "ascending")])
        configs = tuple(dict.fromkeys(part["config"].to_pylist()))
        above, below = (part[column].to_numpy().reshape(len(configs), -1) for column in ("numerator", "denominator"))
        sums[name] = Sums(configs, above, below, of_splits=name == GRACE)
    first = next(of_score for of_score in sums.values() if not of_score.of_splits)
    if first.questions < LEAST_QUESTIONS or len(first.configs) < 2:
        raise CotDistillError(
            f"Too little to rank: {len(first.configs)} of at least 2 configs, and {first.questions} of at least "
            f"{LEAST_QUESTIONS} questions that they share."
        )
    return sums


@lru_cache
def resample(questions: int, seed: int = 0) -> Array:
    """Return how often each of `questions` is drawn, `[resample, question]`, always the same for a seed."""
    counts = np.random.default_rng(seed).multinomial(questions, np.full(questions, 1 / questions), RESAMPLES)
    return counts.astype(float)


def merits(name: str, values: Array) -> Array:
    """Return the values of a score with the sign that makes higher ones better, as the score declares."""
    return _SIGN[name] * values


def rank(name: str, sums: Sums) -> list[Standing]:
    """Return the standing of each config by a score, in the order of their ranks, and of their values in a rank."""
    values, resamples = merits(name, sums.values), merits(name, sums.resamples())
    better = tell_apart(values, resamples)
    best = resamples == resamples.max(1, keepdims=True)
    top = (best / best.sum(1, keepdims=True)).mean(0)  # configs of equal value share a resample
    ranks, last = 1 + better.sum(0), len(values) - better.sum(1)
    order = np.lexsort((-values, ranks))
    return [
        Standing(sums.configs[n], float(sums.values[n]), int(ranks[n]), int(last[n]), float(top[n])) for n in order
    ]


def tell_apart(values: Array, resamples: Array) -> NDArray[np.bool_]:
    """Return whether the config of a row is better than that of a column, `[config, config]`; higher is better.

    It is if the interval of their difference is above 0. The intervals of all pairs hold at once with 95% confidence:
    their half-width is the same number of standard errors, the 95% quantile of the largest deviation in a resample
    (the "max-t" of Romano & Wolf 2005, Econometrica 73). Counting better and worse configs then gives an interval for
    every rank at once (Mogstad, Romano, Shaikh & Wilhelm 2024, "Inference for ranks", Review of Economic Studies 91).
    A percentile interval of resampled ranks would be too narrow where configs are equal.
    """
    differences, observed = (v[..., :, None] - v[..., None, :] for v in (resamples, values))
    errors, rounding = differences.std(0), 1e-9 * np.abs(values).max()
    varying = errors > rounding  # otherwise the difference is the same for every question
    deviations = np.divide(np.abs(differences - observed), errors, out=np.zeros_like(differences), where=varying)
    limit = np.quantile(deviations.max((1, 2)), 1 - ALPHA)
    return np.asarray(observed > np.where(varying, limit * errors, rounding))

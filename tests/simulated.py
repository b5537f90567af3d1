"""Simulated studies, whose true accuracies are known."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from cot_distill_datasets.evaluation.statistics import Answers


DIFFICULTY, TASTE = 1.5, 0.5  # standard deviations in logits: of questions, and of a question for one arm


def simulate(
    truth: Sequence[float], *, seeds: int, questions: int, spread: float, studies: int = 1000, random_seed: int = 0
) -> Answers:
    """Return the answers `[study, arm, seed, question]` of arms whose true accuracies are `truth`.

    A question is as hard in every arm and seed, apart from each arm's taste, so that answers are correlated.
    `spread` is the standard deviation of a seed's true accuracy.
    """
    random = np.random.default_rng(random_seed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    offsets = np.hypot(DIFFICULTY, TASTE) * nodes
    grid = np.linspace(-8, 8, 4001)
    shares = expit(grid[:, None] + offsets) @ weights / weights.sum()
    logits = np.interp(truth, shares, grid)  # an arm's mean logit, from its accuracy over all questions
    slopes = np.interp(truth, shares, np.gradient(shares, grid))
    arms = len(truth)
    hard = DIFFICULTY * random.standard_normal((studies, 1, 1, questions))
    hard = hard + TASTE * random.standard_normal((studies, arms, 1, questions))
    trained = spread / slopes[:, None, None] * random.standard_normal((studies, arms, seeds, 1))
    chances = expit(logits[:, None, None] + hard + trained)
    return (random.random(chances.shape) < chances).astype(float)

"""The pure functions of per-token surprisals and ranks, on numbers worked out by hand."""

import numpy as np
import pytest

from cot_distill_datasets.grading.conclusions import Kind
from cot_distill_datasets.recommend.scores import (
    SCORES,
    lengths,
    mean_surprisal,
    rank_surprisal_ratio,
    rationale_distillation,
    without_answer,
)


def test_rsr_is_the_ratio_of_summed_row_means_with_ranks_clipped_at_100() -> None:
    rows = [([1.0, 3.0], [1, 3]), ([0.5, 0.5, 2.0, 1.0], [1, 1, 5000, 98])]
    terms = [rank_surprisal_ratio(np.array(surprisals), np.array(ranks)) for surprisals, ranks in rows]
    assert terms == [(2.0, 2.0), (50.0, 1.0)]
    numerator, denominator = np.sum(terms, axis=0)
    assert numerator / denominator == pytest.approx(52 / 3)  # not the mean of 1 and 50


def test_the_sums_of_surprisal_count_each_token_once() -> None:
    assert mean_surprisal(np.array([1.0, 2.5])) == (3.5, 2.0)


def test_a_row_without_a_token_counts_nothing() -> None:
    none = np.array([])
    assert rank_surprisal_ratio(none, none) == mean_surprisal(none) == (0.0, 0.0)


def test_rd_is_the_ratio_of_the_perplexities_of_the_answer() -> None:
    with_rationale, without = -np.log([0.5, 0.125]), -np.log([0.25, 0.25])
    assert rationale_distillation(with_rationale, without) == pytest.approx((1.0, 1.0))  # √(2·8) / √(4·4)
    assert rationale_distillation(-np.log([0.5]), -np.log([0.125]))[0] == pytest.approx(0.25)


def test_lengths_are_those_of_the_dataset_card() -> None:
    row = {"rationale": "2 + 2 = 4. So 4; that is all.\nDone"}
    assert lengths(row) == {"words": (11.0, 1.0), "steps": (4.0, 1.0)}
    assert lengths({"rationale": None}) == {"words": (0.0, 1.0), "steps": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("kind", "answer", "rationale", "masked"),
    [
        ("number", "1450", "It is $1,450.00, not 14500 or 1.450.", "It is , not 14500 or 1.450."),
        ("number", "-3", "3 - 6 = -3.", "3 - 6 = ."),
        ("number", "24", "x24 and 24% of 124", "x24 and % of 124"),
        ("math", r"\frac{1}{2}", r"It is \frac{1}{2}, so 0.5 or \frac12.", "It is , so  or ."),
        ("math", "x+1", "Thus x+1 = 2x+1.", "Thus  = 2x+1."),
        ("boolean", "True", "So that is true. Untrue?", "So that is . Untrue?"),
        ("choice", "A", "A dog and (A) a cat. A is right, not AB. A Cat", "A dog and () .  is right, not AB. "),
        ("choice", "B", "Option B: a Dog. B because", "Option : .  because"),
        ("choice", "C", "C is $5.0, not 2.5 or 15.", " is , not 2.5 or 15."),
    ],
)
def test_the_mentions_of_the_answer_are_taken_out(kind: Kind, answer: str, rationale: str, masked: str) -> None:
    choices = ["a cat", "a dog", "5"] if kind == "choice" else []
    assert without_answer(rationale, answer, choices, kind) == masked


def test_every_direction_and_source_is_declared() -> None:
    directions = {score.name: score.lower_is_better for score in SCORES}
    assert [name for name, lower in directions.items() if lower] == ["rsr", "surprisal", "rd", "rd_masked", "grace"]
    assert [score.name for score in SCORES if score.is_control] == ["words", "steps", "agreement"]
    assert all("arXiv" in score.definition for score in SCORES if not score.is_control and score.name != "rd_masked")

"""Rankings: which configs a score tells apart, and how sure their ranks are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from score_tables import score_table

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.recommend.ranking import RESAMPLES, Sums, rank, read_sums, resample, tell_apart


def _spread(mean: float, questions: int = 100, seed: int = 0) -> list[float]:
    """Return values with exactly this mean and a standard deviation of about 1."""
    values = np.random.default_rng(seed).standard_normal(questions)
    return list(values - values.mean() + mean)


def test_a_score_is_the_ratio_of_its_sums_whatever_the_order_of_the_lines() -> None:
    table = score_table(
        {"rsr": {"oracle-l1-arith": [(10.0, 2.0), (50.0, 1.0)] * 10, "oracle-l2-arith": [(6.0, 3.0)] * 20}}
    )
    sums = read_sums(table.take(np.random.default_rng(1).permutation(len(table))))["rsr"]
    assert dict(zip(sums.configs, sums.values)) == {"oracle-l1-arith": 20.0, "oracle-l2-arith": 2.0}


def test_every_resample_draws_as_many_questions_as_there_are_and_always_the_same() -> None:
    counts = resample(50)
    assert counts.shape == (RESAMPLES, 50)
    assert (counts.sum(1) == 50).all() and abs(counts[:, 0].mean() - 1) < 0.1
    assert np.array_equal(counts, resample.__wrapped__(50))


@pytest.mark.parametrize(("score", "best"), [("rsr", "oracle-l1-arith"), ("words", "oracle-l3-arith")])
def test_the_declared_direction_decides_which_end_is_best(score: str, best: str) -> None:
    table = score_table({score: {f"oracle-l{n}-arith": [n + 0.1 * (i % 2) for i in range(40)] for n in (1, 2, 3)}})
    standings = rank(score, read_sums(table)[score])
    assert (standings[0].config, standings[0].rank, standings[0].last, standings[0].top) == (best, 1, 1, 1.0)
    assert [s.rank for s in standings] == [1, 2, 3]


def test_configs_that_cannot_be_told_apart_share_a_rank_and_the_chance_to_be_best() -> None:
    values = {
        "oracle-l1-arith": _spread(5.0),
        "oracle-l2-arith": _spread(5.05, seed=1),
        "oracle-l3-arith": _spread(9.0, seed=2),
    }
    first, second, third = rank("words", read_sums(score_table({"words": values}))["words"])
    assert (first.config, first.rank, first.last) == ("oracle-l3-arith", 1, 1)
    assert {(s.rank, s.last) for s in (second, third)} == {(2, 3)}
    assert first.top == 1.0
    close = rank("rsr", read_sums(score_table({"rsr": values}))["rsr"])
    assert [(s.rank, s.last) for s in close] == [(1, 2), (1, 2), (3, 3)]
    assert 0.5 < close[0].top < 0.95 and close[0].top + close[1].top == pytest.approx(1)


def test_differences_are_paired_by_question() -> None:
    """Questions differ by 100 times what the configs differ by, which every question shows."""
    base = [100 * value for value in _spread(0.0)]
    shifts = _spread(1.0, seed=3)
    values = {"oracle-l1-arith": base, "oracle-l2-arith": [b + 0.5 + 0.1 * s for b, s in zip(base, shifts)]}
    standings = rank("words", read_sums(score_table({"words": values}))["words"])
    assert [(s.config, s.rank, s.last) for s in standings] == [("oracle-l2-arith", 1, 1), ("oracle-l1-arith", 2, 2)]


@pytest.mark.parametrize("shift", [0.0, 1e-13])
def test_equal_configs_share_all_ranks(shift: float) -> None:
    values = {f"oracle-l{n}-arith": [v + n * shift for v in _spread(5.0)] for n in (1, 2, 3)}
    standings = rank("words", read_sums(score_table({"words": values}))["words"])
    assert {(s.rank, s.last) for s in standings} == {(1, 3)}
    if not shift:
        assert [s.top for s in standings] == pytest.approx([1 / 3] * 3)


def test_an_equal_difference_at_every_question_is_told_apart() -> None:
    values = {"oracle-l1-arith": _spread(5.0), "oracle-l2-arith": [v + 0.01 for v in _spread(5.0)]}
    standings = rank("words", read_sums(score_table({"words": values}))["words"])
    assert [(s.rank, s.last) for s in standings] == [(1, 1), (2, 2)]


@pytest.mark.parametrize(("truth", "claims"), [([0.0] * 8, 0), ([0.0] * 4 + [0.3, 0.6, 0.9, 1.2], 15)])
def test_at_most_5_percent_of_rankings_have_any_false_claim(truth: list[float], claims: int) -> None:
    """Of 100 rankings at most 10, which a share of 5% exceeds in 1% of all cases. A ranking has `claims` or more."""
    random, means, false, true = np.random.default_rng(7), np.array(truth), 0, []
    ones = np.ones((8, 150))
    for _ in range(100):
        sums = Sums((), means[:, None] + random.standard_normal((8, 150)) + random.standard_normal(150), ones, False)
        better = tell_apart(sums.values, sums.resamples())
        false += bool((better & (means[:, None] <= means)).any())
        true.append(better.sum())
    assert false <= 10
    assert np.mean(true) >= claims


def test_the_splits_of_grace_are_resamples() -> None:
    splits = {"oracle-l1-arith": [1.0] * 9 + [9.0], "oracle-l2-arith": [2.0] * 10}
    table = score_table({"grace": splits, "words": {config: _spread(1.0) for config in splits}})
    standings = rank("grace", read_sums(table)["grace"])
    assert {s.config: (s.value, s.top) for s in standings} == {
        "oracle-l1-arith": (1.8, 0.9),
        "oracle-l2-arith": (2.0, 0.1),
    }
    assert {(s.rank, s.last) for s in standings} == {(1, 2)}


@pytest.mark.parametrize(
    "configs", [{"oracle-l1-arith": [1.0] * 30}, {"oracle-l1-arith": [1.0] * 19, "oracle-l2-arith": [2.0] * 19}]
)
def test_a_single_config_or_a_few_questions_are_not_ranked(configs: Mapping[str, Sequence[float]]) -> None:
    with pytest.raises(CotDistillError, match="Too little to rank"):
        read_sums(score_table({"words": configs}))

"""Validation: what the accuracies of a study say about scores that are known to predict them, or not."""

import numpy as np
import pytest
from scipy.stats import kendalltau
from score_tables import score_table
from validations import CORRECT, LEVELS, finished_study, try_validation, validation

from cot_distill_datasets.recommend.ranking import read_sums
from cot_distill_datasets.recommend.validation import Validation, predictor, tau_b, validate, weigh


def test_tau_is_that_of_scipy_with_ties_and_0_for_a_constant() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 4, (2, 50, 6)).astype(float)
    expected = [kendalltau(a, b).statistic for a, b in zip(first, second)]
    assert tau_b(first, second) == pytest.approx(expected)
    assert tau_b(np.ones(4), np.arange(4.0)) == 0
    assert tau_b(np.arange(6.0), second) == pytest.approx([kendalltau(range(6), b).statistic for b in second])


def test_a_score_is_held_against_the_accuracies_of_its_configs_in_its_declared_direction() -> None:
    rising = list(range(9))
    result = validation({"rsr": rising, "surprisal": rising[::-1], "words": rising})
    assert result.configs == tuple(sorted(CORRECT, key=result.configs.index)) and set(result.configs) == set(CORRECT)
    assert dict(zip(result.configs, result.accuracies)) == {c: n / 100 for c, n in CORRECT.items()}
    assert result.taus == {"rsr": -1, "surprisal": 1, "words": 1}  # of the first two, lower is better


def test_the_answer_only_student_and_configs_without_a_score_are_left_out() -> None:
    values = {config: [float(n)] * 30 for n, config in enumerate([*LEVELS[:4], "answer-arith"])}
    agreement = {config: [0.9] * 30 for config in LEVELS[:3]}
    result = validate(finished_study(CORRECT), read_sums(score_table({"words": values, "agreement": agreement})))
    assert result and result.configs == tuple(LEVELS[:4])
    assert result.taus.keys() == {"words"}


def test_two_configs_validate_nothing() -> None:
    assert try_validation({"words": [1, 2]}) is None


def test_the_interval_covers_scored_questions_test_questions_and_the_noise_of_training() -> None:
    words = {"words": [*range(9)]}
    sure = validation(words)
    assert sure.resamples["words"].min() > 0.85
    for unsure in (
        validation(words, noise=9.0),
        validation(words, finished_study(dict(zip(CORRECT, range(50, 59))), shuffled=True)),
        validation(words, finished_study({config: (n - 12, n + 12) for config, n in zip(CORRECT, range(40, 49))})),
    ):
        assert np.quantile(unsure.resamples["words"], 0.025) < 0.6


def test_a_score_that_orders_9_configs_predicts_better_than_length_that_does_not() -> None:
    scores = {"rsr": range(9)[::-1], "surprisal": [0] * 9, "words": [4, 8, 1, 5, 0, 6, 2, 7, 3]}
    result = validation(scores)
    evidence = weigh([result])
    assert (evidence["rsr"].tau, evidence["surprisal"].tau, evidence["words"].p_length) == (1, 0, None)
    assert evidence["rsr"].p_length == pytest.approx(0.001, abs=0.004)
    assert evidence["surprisal"].p_length == 1
    assert predictor(evidence) == "rsr"


@pytest.mark.parametrize("count", [3, 4])
def test_few_configs_validate_no_score_however_well_it_orders_them(count: int) -> None:
    """3! orders of 3 configs: one is right by chance in a sixth of all cases."""
    scores = {"rsr": range(count)[::-1], "rd": range(count), "words": range(count)[::-1]}
    result = validation(scores)
    evidence = weigh([result])
    assert (evidence["rsr"].tau, evidence["words"].tau) == (1, -1)
    assert evidence["rsr"].p == pytest.approx({3: 1 / 6, 4: 1 / 24}[count])
    assert evidence["rsr"].p_length == pytest.approx({3: 1 / 3, 4: 1 / 12}[count])
    assert predictor(evidence) is None


def test_a_score_that_does_as_well_as_length_is_not_better() -> None:
    result = validation({"rsr": range(9)[::-1], "words": range(9)})
    evidence = weigh([result])
    assert evidence["rsr"].p == evidence["words"].p < 0.01
    assert evidence["rsr"].p_length == 1
    assert predictor(evidence) == "words"


def test_a_score_that_does_not_predict_is_not_chosen_because_length_is_reversed() -> None:
    result = validation({"rsr": [4, 8, 1, 5, 0, 6, 2, 7, 3], "words": range(9)[::-1]})
    assert predictor(weigh([result])) is None


def test_students_of_the_same_configs_are_no_independent_evidence() -> None:
    """Three students with one order of three configs: their order is right by chance in a sixth of all cases."""
    students = [finished_study({config: CORRECT[config] for config in LEVELS[:3]}, f"demo{n}") for n in range(3)]
    results = [validation({"rsr": [3, 2, 1], "words": [3, 2, 1]}, student) for student in students]
    assert weigh(results)["rsr"].p == pytest.approx(1 / 6)


def test_scores_without_any_relation_to_accuracies_are_rarely_chosen() -> None:
    """Of 100 studies of 9 configs with 4 scores each. 5 are expected to choose a score, and 5 length, at most."""
    random, chosen, study = np.random.default_rng(5), [], finished_study(CORRECT)
    for _ in range(100):
        names = ("rsr", "surprisal", "rd", "rd_masked", "words")
        merits = {name: random.permutation(9).astype(float) for name in names}
        result = Validation(
            study, tuple(CORRECT), random.permutation(9) / 9, merits, dict.fromkeys(names, np.zeros(2))
        )
        chosen.append(predictor(weigh([result])))
    assert sum(name not in (None, "words") for name in chosen) <= 5
    assert chosen.count("words") <= 10

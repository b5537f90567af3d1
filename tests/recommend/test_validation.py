"""Validation: what the accuracies of a study say about scores that are known to predict them, or not."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from outcomes import first_correct, outcome_table
from scipy.stats import kendalltau
from scores_tables import score_table

from cot_distill_datasets.recommend.measurements import Measured
from cot_distill_datasets.recommend.ranking import read_sums
from cot_distill_datasets.recommend.validation import Validation, predictor, tau_b, validate, weigh
from cot_distill_datasets.studies.findings import find


LEVELS = [f"oracle-l{level}-arith" for level in range(1, 7)]
FORMATS = [f"oracle-l3-{format_}-arith" for format_ in ("l2m", "rar", "symbolic")]
CORRECT = dict(zip(LEVELS + FORMATS, (10, 20, 35, 45, 60, 70, 80, 90, 97)))


def _measured(correct: Mapping[str, int | tuple[int, ...]], student: str = "demo", shuffled: bool = False) -> Measured:
    """Return a study whose students of a config answer so many of 100 questions correctly, one for each seed.

    They are the first ones, or, if `shuffled`, others for each config.
    """
    arms = {name: first_correct(*np.atleast_1d(number)) for name, number in correct.items()}
    if shuffled:
        arms = {name: np.random.default_rng(n).permuted(arm, axis=1) for n, (name, arm) in enumerate(arms.items())}
    table = outcome_table(arms | {"answer-arith": first_correct(99)}, {"student": student})
    (section,) = find(table, {}, 0)
    return Measured(section, 1000)


def _validate(scores: Mapping[str, Sequence[float]], measured: Measured, noise: float = 0.0) -> Validation | None:
    """Return the validation of scores, which have the values of the configs in the order of `CORRECT`."""
    random = np.random.default_rng(0)
    columns = {
        score: {config: list(value + noise * random.standard_normal(40)) for config, value in zip(CORRECT, values)}
        for score, values in scores.items()
    }
    return validate(measured, read_sums(score_table(columns)))


def test_tau_is_that_of_scipy_with_ties_and_0_for_a_constant() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 4, (2, 50, 6)).astype(float)
    expected = [kendalltau(a, b).statistic for a, b in zip(first, second)]
    assert tau_b(first, second) == pytest.approx(expected)
    assert tau_b(np.ones(4), np.arange(4.0)) == 0
    assert tau_b(np.arange(6.0), second) == pytest.approx([kendalltau(range(6), b).statistic for b in second])


def test_a_score_is_held_against_the_accuracies_of_its_configs_in_its_declared_direction() -> None:
    rising = list(range(9))
    made = _validate({"rsr": rising, "surprisal": rising[::-1], "words": rising}, _measured(CORRECT))
    assert made is not None
    assert made.configs == tuple(sorted(CORRECT, key=made.configs.index)) and set(made.configs) == set(CORRECT)
    assert dict(zip(made.configs, made.accuracies)) == {c: n / 100 for c, n in CORRECT.items()}
    assert made.taus == {"rsr": -1, "surprisal": 1, "words": 1}  # of the first two, lower is better


def test_the_answer_only_student_and_configs_without_a_score_are_left_out() -> None:
    values = {config: [float(n)] * 30 for n, config in enumerate([*LEVELS[:4], "answer-arith"])}
    agreement = {config: [0.9] * 30 for config in LEVELS[:3]}
    made = validate(_measured(CORRECT), read_sums(score_table({"words": values, "agreement": agreement})))
    assert made is not None and made.configs == tuple(LEVELS[:4])
    assert made.taus.keys() == {"words"}


def test_two_configs_validate_nothing() -> None:
    assert _validate({"words": [1, 2]}, _measured(CORRECT)) is None


def test_the_interval_covers_scored_questions_test_questions_and_the_noise_of_training() -> None:
    words = {"words": [*range(9)]}
    sure = _validate(words, _measured(CORRECT))
    assert sure is not None and sure.resampled["words"].min() > 0.85
    for unsure in (
        _validate(words, _measured(CORRECT), noise=9.0),
        _validate(words, _measured(dict(zip(CORRECT, range(50, 59))), shuffled=True)),
        _validate(words, _measured({config: (n - 12, n + 12) for config, n in zip(CORRECT, range(40, 49))})),
    ):
        assert unsure is not None
        assert np.quantile(unsure.resampled["words"], 0.025) < 0.6


def test_a_score_that_orders_9_configs_predicts_better_than_length_that_does_not() -> None:
    scores = {"rsr": range(9)[::-1], "surprisal": [0] * 9, "words": [4, 8, 1, 5, 0, 6, 2, 7, 3]}
    made = _validate(scores, _measured(CORRECT))
    assert made is not None
    evidence = weigh([made])
    assert (evidence["rsr"].tau, evidence["surprisal"].tau, evidence["words"].p_length) == (1, 0, None)
    assert evidence["rsr"].p_length == pytest.approx(0.001, abs=0.004)
    assert evidence["surprisal"].p_length == 1
    assert predictor(evidence) == "rsr"


@pytest.mark.parametrize("count", [3, 4])
def test_few_configs_validate_no_score_however_well_it_orders_them(count: int) -> None:
    """3! orders of 3 configs: one is right by chance in a sixth of all cases."""
    scores = {"rsr": range(count)[::-1], "rd": range(count), "words": range(count)[::-1]}
    made = _validate(scores, _measured(CORRECT))
    assert made is not None
    evidence = weigh([made])
    assert (evidence["rsr"].tau, evidence["words"].tau) == (1, -1)
    assert evidence["rsr"].p == pytest.approx({3: 1 / 6, 4: 1 / 24}[count], abs=0.03)
    assert evidence["rsr"].p_length == pytest.approx({3: 1 / 3, 4: 1 / 12}[count], abs=0.06)
    assert predictor(evidence) is None


def test_a_score_that_does_as_well_as_length_is_not_better() -> None:
    made = _validate({"rsr": range(9)[::-1], "words": range(9)}, _measured(CORRECT))
    assert made is not None
    evidence = weigh([made])
    assert evidence["rsr"].p == evidence["words"].p < 0.01
    assert evidence["rsr"].p_length == 1
    assert predictor(evidence) == "words"


def test_a_score_that_does_not_predict_is_not_chosen_because_length_is_reversed() -> None:
    made = _validate({"rsr": [4, 8, 1, 5, 0, 6, 2, 7, 3], "words": range(9)[::-1]}, _measured(CORRECT))
    assert made is not None
    assert predictor(weigh([made])) is None


def test_students_of_the_same_configs_are_no_independent_evidence() -> None:
    """Three students with one order of three configs: their order is right by chance in a sixth of all cases."""
    students = [_measured({config: CORRECT[config] for config in LEVELS[:3]}, f"demo{n}") for n in range(3)]
    made = [_validate({"rsr": [3, 2, 1], "words": [3, 2, 1]}, student) for student in students]
    assert weigh([v for v in made if v])["rsr"].p == pytest.approx(1 / 6, abs=0.03)


def test_scores_without_any_relation_to_accuracies_are_rarely_chosen() -> None:
    """Of 100 studies of 9 configs with 4 scores each. 5 are expected to choose a score, and 5 length, at most."""
    random, chosen, measured = np.random.default_rng(5), [], _measured(CORRECT)
    for _ in range(100):
        names = ("rsr", "surprisal", "rd", "rd_masked", "words")
        merits = {name: random.permutation(9).astype(float) for name in names}
        made = Validation(
            measured, tuple(CORRECT), random.permutation(9) / 9, merits, dict.fromkeys(names, np.zeros(2))
        )
        chosen.append(predictor(weigh([made])))
    assert sum(name not in (None, "words") for name in chosen) <= 5
    assert chosen.count("words") <= 10

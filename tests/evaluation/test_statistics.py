"""The statistics agree with scipy and statsmodels on known cases, and keep their promises on simulated studies."""

import math

import numpy as np
import pytest
from scipy import stats
from simulated import simulate

from cot_distill_datasets.evaluation.statistics import (
    Contrast,
    SeedNoise,
    contrast,
    holm,
    mcnemar,
    score_interval,
    seed_noise,
)


ONE_SEED = SeedNoise(0.0, 0.0, math.inf)
SPREADS = [0.01, pytest.param(0.0, marks=pytest.mark.slow), pytest.param(0.03, marks=pytest.mark.slow)]


def _answers(*columns: str) -> np.ndarray:
    """Return the answers of one seed for each text of 0 and 1."""
    return np.array([[int(c) for c in column] for column in columns], dtype=float)


def test_the_noise_of_one_arm_is_statsmodels_two_way_analysis_of_variance() -> None:
    pandas, formula = pytest.importorskip("pandas"), pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    answers = simulate([0.4], seeds=4, questions=30, spread=0.1, studies=1)[0, 0]
    seeds, questions = np.indices(answers.shape)
    frame = pandas.DataFrame({"y": answers.ravel(), "seed": seeds.ravel(), "question": questions.ravel()})
    table = anova.anova_lm(formula.ols("y ~ C(seed) + C(question)", frame).fit())
    squares = table["sum_sq"] / table["df"]
    noise = seed_noise([answers])
    assert noise.df == 3
    assert (noise.score, noise.residual) == pytest.approx((squares["C(seed)"] / 30, squares["Residual"]))
    assert noise.component(30) == pytest.approx((squares["C(seed)"] - squares["Residual"]) / 30)


def test_the_noise_is_pooled_over_arms_by_their_degrees_of_freedom() -> None:
    first, second = simulate([0.4, 0.6], seeds=5, questions=50, spread=0.1, studies=1)[0]
    noises = seed_noise([first]), seed_noise([second[:2]])
    pooled = seed_noise([first, second[:2], first[:1]])  # an arm with one seed adds nothing
    assert pooled.df == 5
    assert pooled.score == pytest.approx((4 * noises[0].score + noises[1].score) / 5)
    assert pooled.residual == pytest.approx((4 * noises[0].residual + noises[1].residual) / 5)


def test_one_seed_leaves_the_noise_of_training_unknown_and_uses_the_normal_distribution() -> None:
    arms = simulate([0.5, 0.6], seeds=1, questions=300, spread=0.0, studies=1)[0]
    assert seed_noise(arms) == ONE_SEED
    pair = contrast(arms[1], arms[0], ONE_SEED)
    assert pair.p == pytest.approx(2 * stats.norm.sf(abs(pair.difference) / pair.standard_error))


def test_the_interval_of_one_seed_is_agresti_and_mins() -> None:
    """Their formula, with half an observation added to each of the four cells: b = 6, c = 1, n = 20."""
    arm, reference = _answers("1" * 10 + "0" * 10), _answers("0" * 6 + "1" * 4 + "1" + "0" * 9)
    pair = contrast(arm, reference, ONE_SEED)
    b, c, n = 6.5, 1.5, 22
    error = math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert pair.difference == 5 / 20
    assert pair.interval == pytest.approx((0.25 - 1.959964 * error, 0.25 + 1.959964 * error))


def test_p_values_and_equivalence_are_those_of_statsmodels() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    values = np.random.default_rng(0).normal(0.02, 0.1, 25)
    known = weightstats.DescrStatsW(values)
    pair = Contrast(values.mean(), values.std(ddof=1) / 5, 24)
    assert pair.p == pytest.approx(known.ttest_mean(0)[1])
    assert pair.p_above == pytest.approx(known.ttest_mean(0, alternative="larger")[1])
    assert pair.p_outside(0.05) == pytest.approx(known.ttost_mean(-0.05, 0.05)[0])
    assert pair.interval == pytest.approx(known.tconfint_mean())


@pytest.mark.parametrize(("df", "tests"), [(8, 1), (12, 5), (30, 1), (math.inf, 3)])
def test_the_detectable_difference_is_found_with_80_percent_power(df: float, tests: int) -> None:
    """Exactly, by the noncentral t; Bloom's multiplier is an approximation."""
    detectable = Contrast(0.0, 0.02, df).detectable(tests)
    critical = stats.t.ppf(1 - 0.05 / tests / 2, df)
    tail = (
        stats.norm.sf(critical - detectable / 0.02)
        if math.isinf(df)
        else stats.nct.sf(critical, df, detectable / 0.02)
    )
    assert tail == pytest.approx(0.8, abs=0.02)


def test_the_detectable_difference_is_close_to_that_of_statsmodels() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    effect = power.TTestPower().solve_power(nobs=31, alpha=0.05, power=0.8)
    assert Contrast(0.0, 1 / math.sqrt(31), 30).detectable() == pytest.approx(effect, rel=0.01)


@pytest.mark.parametrize("table", [(0, 0), (1, 0), (5, 5), (1, 9), (12, 30), (0, 40)])
def test_mcnemar_is_that_of_statsmodels(table: tuple[int, int]) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    known = tables.mcnemar([[7, table[0]], [table[1], 3]], exact=True).pvalue if sum(table) else 1
    assert mcnemar(*table) == mcnemar(*reversed(table)) == pytest.approx(known)


def test_mcnemar_of_a_known_case() -> None:
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)  # (1 + 10) of 2^10 outcomes, on each side


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    random = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        p_values = list(random.random(size) ** 4)
        assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_holm_of_a_known_case() -> None:
    assert holm([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])


@pytest.mark.parametrize("correct", [0, 1, 150, 299, 300])
def test_the_interval_of_a_single_score_is_wilsons(correct: int) -> None:
    arm = _answers("1" * correct + "0" * (300 - correct))
    known = stats.binomtest(correct, 300).proportion_ci(method="wilson")
    assert score_interval(arm, ONE_SEED) == pytest.approx((known.low, known.high), abs=1e-12)


def test_seeds_that_agree_do_not_narrow_an_interval_and_seeds_that_differ_widen_it() -> None:
    one = simulate([0.4], seeds=1, questions=300, spread=0.0, studies=1)[0, 0]
    same = np.repeat(one, 3, axis=0)
    assert score_interval(same, SeedNoise(0.0, 0.0, math.inf)) == pytest.approx(score_interval(one, ONE_SEED))
    low, high = score_interval(one, ONE_SEED)
    wide_low, wide_high = score_interval(same, SeedNoise(0.03**2, 0.0, 10))
    assert wide_low < low < high < wide_high


@pytest.mark.parametrize("correct", [0, 1])
def test_a_score_at_an_end_has_the_noise_of_the_other_arms(correct: int) -> None:
    arm, noise = _answers(str(correct) * 300, str(correct) * 300), SeedNoise(0.02**2, 0.0, 10)
    low, high = score_interval(arm, noise)
    half = math.hypot(2.228139 * 0.02 / math.sqrt(2), 3.841459 / (300 + 3.841459))  # t of 10, and Wilson's at 0
    assert (low, high) == pytest.approx((0, half) if correct == 0 else (1 - half, 1), abs=1e-6)


@pytest.mark.parametrize("truth", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("spread", SPREADS)
def test_the_interval_covers_the_true_score_in_95_percent_of_studies(truth: float, spread: float) -> None:
    covered = []
    for study in simulate([truth, 0.4, 0.6], seeds=3, questions=300, spread=spread):
        low, high = score_interval(study[0], seed_noise(study))
        covered.append(low < truth < high)
    assert 0.92 <= np.mean(covered) <= 0.985


def test_a_few_questions_without_a_difference_do_not_prove_that_there_is_none() -> None:
    few, many = _answers("1" * 10), _answers("1" * 300)
    assert contrast(few, few, ONE_SEED).p_outside(0.05) > 0.2
    assert contrast(many, many, ONE_SEED).p_outside(0.05) < 0.001


def test_an_untrained_reference_has_no_noise_of_training() -> None:
    arm, base = simulate([0.5, 0.5], seeds=3, questions=300, spread=0.0, studies=1)[0]
    noise = SeedNoise(0.03**2, 0.0, 4)
    fixed, trained = (contrast(arm, base, noise, trained=trained).standard_error ** 2 for trained in (False, True))
    assert trained - fixed == pytest.approx(0.03**2 / 3)


@pytest.mark.parametrize("spread", SPREADS)
def test_the_interval_covers_the_true_difference_in_95_percent_of_studies(spread: float) -> None:
    truth = [0.3, 0.5, 0.5, 0.6]
    covered = []
    for study in simulate(truth, seeds=3, questions=300, spread=spread):
        low, high = contrast(study[1], study[0], seed_noise(study)).interval
        covered.append(low < 0.2 < high)
    assert 0.935 <= np.mean(covered) <= 0.99


def test_the_residual_is_counted_once() -> None:
    """The mean estimate of the variance is the variance that the differences of many studies have."""
    pairs = [
        contrast(study[1], study[0], seed_noise(study))
        for study in simulate([0.5] * 6, seeds=3, questions=100, spread=0.05, studies=2000)
    ]
    variance = np.var([pair.difference for pair in pairs])
    assert np.mean([pair.standard_error**2 for pair in pairs]) == pytest.approx(variance, rel=0.08)

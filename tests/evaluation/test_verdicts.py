"""Verdicts: the words of clear cases, and how often simulated studies of known truth get a wrong one.

The bars are those that the project promises: 1,000 studies each, 3 seeds and 300 questions unless a test says so.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from simulated import simulate

from cot_distill_datasets.evaluation.statistics import Answers, SeedNoise, contrast, seed_noise
from cot_distill_datasets.evaluation.verdicts import (
    Finding,
    TeacherFinding,
    against_baseline,
    formats,
    granularity,
    teachers,
)


MARGIN = 0.05
LEVELS = ("l1", "l2", "l3", "l4", "l5", "l6")
SATURATES = (0.2, 0.4, 0.6, 0.6, 0.6, 0.6)
PEAK = (0.4, 0.4, 0.5, 0.4, 0.4, 0.4)
# Standard deviations of a seed's accuracy. One is in the quick suite.
SPREADS = [0.01, pytest.param(0.0, marks=pytest.mark.slow), pytest.param(0.03, marks=pytest.mark.slow)]


def _levels(study: Answers) -> Finding:
    return granularity({"oracle": dict(zip(LEVELS, study))}, seed_noise(study), MARGIN)["oracle"]


def _against_plain(study: Answers, names: Iterable[str]) -> dict[str, Finding]:
    """Return the findings about formats, whose plain CoT is the first arm."""
    plain, *others = study
    return formats({name: (arm, plain) for name, arm in zip(names, others)}, seed_noise(study), MARGIN)


def _verdicts(truth: tuple[float, ...], spread: float) -> Counter[str]:
    return Counter(_levels(study).verdict for study in simulate(truth, seeds=3, questions=300, spread=spread))


def _formats(truth: tuple[float, ...], spread: float) -> Counter[str]:
    """Return the verdicts on formats against plain CoT, whose accuracy is `truth[0]`: 5 seeds, 500 questions."""
    return Counter(
        finding.verdict
        for study in simulate(truth, seeds=5, questions=500, spread=spread)
        for finding in _against_plain(study, ("l2m", "rar", "symbolic")).values()
    )


def _teachers(accuracies: dict[str, float], study: Answers) -> TeacherFinding:
    return teachers({"l3": accuracies}, {"l3": dict(zip(accuracies, study))}, seed_noise(study))["l3"]


@pytest.mark.parametrize("spread", SPREADS)
def test_without_a_difference_at_most_6_percent_of_studies_claim_one(spread: float) -> None:
    studies = simulate([0.5] * 6, seeds=3, questions=300, spread=spread)
    claims = np.zeros((3, len(studies)), dtype=bool)
    for number, study in enumerate(studies):
        by_format = _against_plain(study, "abcde")
        by_teacher = _teachers({"x": 0.9, "y": 0.8, "z": 0.7}, study)
        claims[:, number] = (
            _levels(study).verdict not in ("cannot tell", "flat within ±5"),
            any(finding.verdict == "differs" for finding in by_format.values()),
            by_teacher.verdict != "cannot tell",
        )
    assert claims.mean(1).max() <= 0.06


@pytest.mark.parametrize("spread", SPREADS)
def test_where_accuracy_saturates_at_most_6_percent_of_studies_claim_a_peak(spread: float) -> None:
    verdicts = _verdicts(SATURATES, spread)
    assert sum(n for verdict, n in verdicts.items() if verdict.startswith("peak")) <= 60
    assert verdicts["rises"] >= 900


@pytest.mark.parametrize("spread", SPREADS[:2])
def test_a_peak_of_10_points_is_found_in_80_percent_of_studies(spread: float) -> None:
    assert _verdicts(PEAK, spread)["peak at l3"] >= 800


@pytest.mark.slow
def test_with_a_seed_spread_of_3_points_3_seeds_find_a_peak_of_10_points_in_half_of_the_studies() -> None:
    """No test can do better than about 70%: the standard error is 3.1 points even if it were known."""
    assert 450 <= _verdicts(PEAK, 0.03)["peak at l3"] <= 600


@pytest.mark.parametrize("spread", SPREADS[:2])
def test_identical_arms_are_the_same_within_5_points_in_80_percent_of_studies(spread: float) -> None:
    verdicts = _formats((0.5, 0.5), spread)
    assert verdicts["same within ±5"] >= 800
    assert verdicts["differs"] <= 60


@pytest.mark.parametrize("spread", SPREADS)
def test_arms_that_differ_by_the_margin_are_the_same_in_at_most_6_percent_of_studies(spread: float) -> None:
    assert _formats((0.5, 0.55), spread)["same within ±5"] <= 60


@pytest.mark.slow
def test_one_arm_with_noisier_seeds_does_not_become_a_peak() -> None:
    """The noise is pooled over arms, so an arm whose seeds differ more than the others' has too small an error."""
    studies = simulate([0.5] * 6, seeds=3, questions=300, spread=0.0)
    studies[:, 2] = simulate([0.5] * 6, seeds=3, questions=300, spread=0.08, random_seed=1)[:, 2]
    assert Counter(_levels(study).verdict for study in studies)["peak at l3"] <= 60


def _study(*truth: float, questions: int = 2000, seeds: int = 3) -> Answers:
    return simulate(truth, seeds=seeds, questions=questions, spread=0.005, studies=1)[0]


@pytest.mark.parametrize(
    ("truth", "verdict"),
    [
        ((0.2, 0.3, 0.4, 0.6, 0.4, 0.3), "peak at l4"),
        ((0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "rises"),
        ((0.7, 0.6, 0.5, 0.4, 0.3, 0.2), "falls"),
        ((0.5, 0.5, 0.5, 0.5, 0.5, 0.5), "flat within ±5"),
        ((0.5, 0.5, 0.4, 0.5, 0.5, 0.5), "cannot tell"),  # a valley
        ((0.3, 0.6, 0.3), "peak at l2"),
        ((0.3, 0.6), "rises"),
    ],
)
def test_the_verdict_on_granularity_of_a_large_study(truth: tuple[float, ...], verdict: str) -> None:
    assert _levels(_study(*truth)).verdict == verdict


def test_the_finding_has_the_numbers_of_each_comparison() -> None:
    study = _study(0.2, 0.6, 0.3)
    finding = _levels(study)
    assert [comparison[:2] for comparison in finding.comparisons] == [("l2", "l1"), ("l2", "l3"), ("l3", "l1")]
    scores = study.mean((1, 2))
    assert [comparison.difference for comparison in finding.comparisons] == pytest.approx(
        [scores[1] - scores[0], scores[1] - scores[2], scores[2] - scores[0]]
    )
    assert all(c.interval[0] < c.difference < c.interval[1] for c in finding.comparisons)
    assert all(c.adjusted_p < 1e-3 and c.noise_known for c in finding.comparisons)
    assert finding.detectable == max(c.detectable for c in finding.comparisons)


def test_a_peak_needs_both_of_its_comparisons() -> None:
    _, above_finest, _ = _levels(_study(0.4, 0.4, 0.2)).comparisons
    assert above_finest.interval[0] > 0.1 and above_finest.adjusted_p > 0.05
    assert _levels(_study(0.4, 0.4, 0.2)).verdict == "falls"


def test_with_one_seed_the_noise_is_unknown() -> None:
    finding = _levels(_study(0.2, 0.6, 0.2, seeds=1))
    assert finding.verdict == "peak at l2"
    assert not any(comparison.noise_known for comparison in finding.comparisons)


def test_a_small_study_cannot_tell_and_says_what_it_could_detect() -> None:
    finding = _levels(_study(0.45, 0.5, 0.45, questions=40))
    assert finding.verdict == "cannot tell"
    assert 0.15 < finding.detectable < 0.6


def test_the_margin_decides_what_is_the_same() -> None:
    study = _study(0.5, 0.5)
    noise = seed_noise(study)
    pair = {"rar": (study[1], study[0])}
    verdicts = [formats(pair, noise, margin)["rar"].verdict for margin in (MARGIN, 0.001)]
    assert verdicts == ["same within ±5", "cannot tell"]


def test_more_formats_need_more_evidence_that_all_are_the_same() -> None:
    """The margin is one that a single format just passes: p is between 0.05 / 3 and 0.05."""
    study = _study(0.5, 0.5)
    noise = seed_noise(study)
    pair = contrast(study[1], study[0], noise)
    margin = next(step / 1000 for step in range(1, 100) if pair.p_outside(step / 1000) < 0.04)
    assert pair.p_outside(margin) > 0.05 / 3
    both = (study[1], study[0])
    by_count = [formats(dict.fromkeys("abc"[:count], both), noise, margin)["a"] for count in (1, 3)]
    assert [finding.verdict.split()[0] for finding in by_count] == ["same", "cannot"]


def test_each_format_has_its_verdict_against_plain_cot() -> None:
    study = _study(0.5, 0.5, 0.3)
    findings = _against_plain(study, ("rar", "l2m"))
    assert {name: finding.verdict for name, finding in findings.items()} == {"rar": "same within ±5", "l2m": "differs"}
    assert findings["l2m"].comparisons[0].difference == pytest.approx(study[2].mean() - study[0].mean())


@pytest.mark.parametrize(
    ("accuracies", "verdict", "tau"),
    [
        ({"gpt4o": 0.9, "gemini": 0.8, "llama70b": 0.7}, "best", 1.0),
        ({"gpt4o": 0.7, "gemini": 0.8, "llama70b": 0.9}, "not best", -1.0),
        ({"gpt4o": 0.9, "gemini": 0.9, "llama70b": 0.7}, "cannot tell", None),  # two are the most accurate
    ],
)
def test_the_students_of_the_most_accurate_teacher_are_best_or_not(
    accuracies: dict[str, float], verdict: str, tau: float | None
) -> None:
    study = _study(0.6, 0.5, 0.4)
    finding = _teachers(accuracies, study)
    assert (finding.verdict, finding.teacher) == (verdict, max(accuracies, key=lambda name: accuracies[name]))
    assert tau is None or finding.tau == pytest.approx(tau)


def test_several_teachers_are_one_family() -> None:
    """Each p-value is adjusted for the tests of all teachers."""
    study = _study(0.5, 0.52, 0.5)
    levels = dict(zip(LEVELS, study))
    alone, among = (
        granularity(dict.fromkeys(names, levels), seed_noise(study), MARGIN)["a"].comparisons[0]
        for names in ("a", "abcd")
    )
    assert among.adjusted_p > alone.adjusted_p and among.detectable > alone.detectable
    shares, students = {"x": 0.9, "y": 0.8}, dict(zip("xy", study))
    one, many = (
        teachers(dict.fromkeys(names, shares), dict.fromkeys(names, students), seed_noise(study))["a"]
        for names in ("a", "abcd")
    )
    assert many.detectable > one.detectable


def test_tau_is_null_if_the_teachers_are_equal() -> None:
    study = _study(0.6, 0.5)
    assert _teachers({"a": 1.0, "b": 1.0}, study).tau is None


def test_a_student_is_compared_with_the_better_baseline() -> None:
    study = _study(0.5, 0.3)
    zero_shot, few_shot = _study(0.1, 0.4, seeds=1)
    noise = SeedNoise(0.01**2, 0.0, 4)
    findings = against_baseline(
        {"l1": study[0], "l6": study[1]}, {"zero-shot": zero_shot, "4 exemplars": few_shot}, noise
    )
    assert {name: finding.verdict for name, finding in findings.items()} == {
        "l1": "above the baseline",
        "l6": "not above the baseline",
    }
    comparison = findings["l1"].comparisons[0]
    fixed = contrast(study[0], few_shot, noise, trained=False)  # the base has no noise of training
    assert (comparison.reference, comparison.interval) == ("4 exemplars", fixed.interval)

"""Findings: which arms of a study are compared, and on which answers."""

import math

import numpy as np
import pyarrow as pa
import pytest
from outcomes import first_correct, outcome_table
from scipy.stats import binomtest
from simulated import simulate

from cot_distill_datasets.evaluation.statistics import Answers, seed_noise
from cot_distill_datasets.studies.findings import Section, find, read_arms


BASE = {"untrained-0": first_correct(5), "untrained-4": first_correct(10)}
LEVELS = [f"oracle-l{level}-arith" for level in range(1, 7)]


def _study(truth: dict[str, float], *, seeds: int = 3, questions: int = 500) -> dict[str, Answers]:
    (study,) = simulate(list(truth.values()), seeds=seeds, questions=questions, spread=0.005, studies=1)
    return dict(zip(truth, study))


def _find(arms: dict[str, Answers], accuracies: dict[str, float] | None = None) -> Section:
    (section,) = find(outcome_table(arms), accuracies or {}, 0.05)
    return section


def _verdicts(section: Section) -> dict[str, dict[str, str]]:
    return {
        kind: {verdict.about: verdict.finding.verdict for verdict in verdicts}
        for kind, verdicts in section.verdicts.items()
    }


def test_answers_have_the_order_of_the_ids_and_seeds_whatever_the_order_of_the_rows() -> None:
    (study,) = simulate([0.3, 0.6], seeds=3, questions=50, spread=0.0, studies=1)
    table = outcome_table(dict(zip(LEVELS, study)))
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    ((arms),) = read_arms(shuffled).values()
    assert arms.keys() == set(LEVELS[:2])
    for config, answers in zip(LEVELS, study):
        assert np.array_equal(arms[config].answers, answers)
        assert arms[config].seeds == (1, 2, 3)


def test_an_arm_has_its_accuracy_spread_and_means() -> None:
    arm = _find({"oracle-l1-arith": first_correct(50, 60)}).arms["oracle-l1-arith"]
    assert (arm.accuracy, arm.questions, arm.no_answer, arm.truncated) == (0.55, 100, 0.45, 0.0)
    assert arm.output_tokens == pytest.approx(10.9)
    assert arm.spread == pytest.approx(0.1 / math.sqrt(2))


@pytest.mark.parametrize(
    ("truth", "verdict"),
    [
        ((0.3, 0.4, 0.6, 0.4, 0.3, 0.3), "peak at l3"),
        ((0.3, 0.4, 0.5, 0.6, 0.7, 0.7), "rises"),
        ((0.7, 0.6, 0.5, 0.4, 0.4, 0.3), "falls"),
    ],
)
def test_each_teacher_has_its_verdict_on_granularity(truth: tuple[float, ...], verdict: str) -> None:
    arms = _study(dict(zip(LEVELS, truth)))
    arms |= {f"gemini-l{level}-arith": first_correct(100, questions=500) for level in (1, 3, 6)}
    assert _verdicts(_find(arms))["granularity"] == {"oracle": verdict, "gemini": "flat within ±5"}


def test_a_level_without_students_is_left_out_and_fewer_than_3_levels_have_no_verdict() -> None:
    arms = _study({"oracle-l6-arith": 0.7, "oracle-l1-arith": 0.3, "oracle-l3-arith": 0.5})
    (verdict,) = _find(arms).granularity
    assert verdict.configs == {"l1": "oracle-l1-arith", "l3": "oracle-l3-arith", "l6": "oracle-l6-arith"}
    assert verdict.finding.verdict == "rises"
    del arms["oracle-l3-arith"]
    assert _find(arms).granularity == []


def test_formats_are_compared_with_plain_cot_of_the_same_teacher_and_level() -> None:
    truth = {
        "oracle-l3-arith": 0.6,
        "oracle-l3-rar-arith": 0.4,
        "oracle-l1-rar-arith": 0.4,
        "gemini-l3-l2m-arith": 0.4,
    }
    section = _find(_study(truth))
    assert _verdicts(section)["formats"] == {"oracle-l3-rar-arith": "differs"}
    assert section.formats[0].finding.comparisons[0].difference == pytest.approx(-0.2, abs=0.05)
    assert section.formats[0].configs == {"plain CoT": "oracle-l3-arith"}


@pytest.mark.parametrize(("best", "verdict"), [("gpt4o", "best"), ("gemini", "not best")])
def test_teachers_of_known_accuracy_are_compared_at_one_level(best: str, verdict: str) -> None:
    arms = _study({"gpt4o-l3-arith": 0.6, "gemini-l3-arith": 0.4, "oracle-l3-arith": 0.9, "human-arith": 0.9})
    accuracies = {"gpt4o-l3-arith": 0.8, "gemini-l3-arith": 0.8, "gpt4o-l1-arith": 0.9} | {f"{best}-l3-arith": 0.9}
    (found,) = _find(arms, accuracies).teachers
    assert (found.about, found.finding.verdict, set(found.configs)) == ("l3", verdict, {"gpt4o", "gemini"})


def test_arms_are_compared_with_the_better_of_the_two_baselines() -> None:
    section = _find(BASE | {"answer-arith": first_correct(8, 8), "oracle-l1-arith": first_correct(40, 42)})
    assert section.not_above == ["answer-arith"]
    comparison = section.against_base("oracle-l1-arith")
    assert comparison is not None
    assert (comparison.reference, round(comparison.difference, 3)) == ("untrained, 4 shots", 0.31)
    answers = section.against_answers("oracle-l1-arith")
    assert answers is not None and round(answers.difference, 3) == 0.33
    assert section.against_answers("answer-arith") is None


def test_without_a_baseline_no_arm_is_marked() -> None:
    section = _find({"oracle-l1-arith": first_correct(0)})
    assert (section.baseline, section.not_above) == ([], [])


def test_the_interval_of_the_base_has_no_noise_of_training() -> None:
    section = _find(BASE | {"oracle-l1-arith": first_correct(10, 90)})
    assert section.interval("untrained, 4 shots") == pytest.approx(
        tuple(binomtest(10, 100).proportion_ci(method="wilson"))
    )
    low, high = section.interval("oracle-l1-arith")
    assert high - low > 0.5


def test_values_of_a_further_axis_are_apart_and_share_the_base_and_the_noise_of_training() -> None:
    fast = {"oracle-l1-arith": first_correct(50, 60)}
    slow = {"oracle-l1-arith": first_correct(20, 40, 60)}
    tables = [outcome_table(BASE | fast, learning_rate="0.1"), outcome_table(slow, learning_rate="0.01")]
    sections = find(pa.concat_tables(tables), {}, 0.05)
    assert [section.axes for section in sections] == [(("learning_rate", "0.1"),), (("learning_rate", "0.01"),)]
    assert [section.arms["oracle-l1-arith"].accuracy for section in sections] == pytest.approx([0.55, 0.4])
    for section in sections:
        assert section.baselines.keys() == {"untrained, 0 shots", "untrained, 4 shots"}
        assert section.noise == seed_noise([*fast.values(), *slow.values()])


def test_students_benchmarks_and_tasks_are_apart() -> None:
    places = [
        {"student": "demo", "benchmark": "svamp", "task": "cot_svamp"},
        {"student": "demo", "benchmark": "gsm8k", "task": "cot_svamp"},
        {"student": "large", "benchmark": "svamp", "task": "cot_svamp"},
    ]
    tables = [
        outcome_table(BASE | {f"human-{place['benchmark']}": first_correct(40 + number, 50)}, place)
        for number, place in enumerate(places)
    ]
    sections = find(pa.concat_tables(tables), {}, 0.05)
    assert [section.place._asdict() for section in sections] == places
    assert [section.arms.popitem()[1].accuracy for section in sections] == pytest.approx([0.45, 0.455, 0.46])


def test_the_noise_of_training_is_unknown_with_one_seed_and_known_if_some_arm_has_two() -> None:
    one, two = first_correct(50), first_correct(50, 60)
    assert not _find({"oracle-l1-arith": one, "oracle-l2-arith": one}).noise_known
    section = _find({"oracle-l1-arith": one, "oracle-l2-arith": two})
    assert section.noise_known
    assert [arm.seeds for arm in section.arms.values()] == [(1,), (1, 2)]
    assert section.arms["oracle-l1-arith"].spread is None

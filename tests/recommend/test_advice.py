"""Advice: what is recommended with which evidence."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from outcomes import first_correct, outcome_table
from validations import measure, validation

from cot_distill_datasets.evaluation.results import Student
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate
from cot_distill_datasets.recommend.advice import recommendation, study_notes
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.recommend.measurements import Measurement
from cot_distill_datasets.recommend.ranking import Standing


GOOD, REVERSED, NOISE = range(9)[::-1], range(9), [4, 8, 1, 5, 0, 6, 2, 7, 3]  # of scores where lower is better
TIED = [Standing("oracle-l4-arith", 2.0, 1, 2, 0.6), Standing("oracle-l3-arith", 2.1, 1, 2, 0.4)]
SURE = [Standing("oracle-l6-arith", 88.0, 1, 1, 1.0), Standing("oracle-l1-arith", 3.0, 2, 2, 0.0)]


def test_without_a_finished_study_no_score_is_validated_and_nothing_is_tried() -> None:
    sentence = recommendation("demo", {"rsr": TIED, "words": SURE}, [])
    assert "No score is validated for demo" in sentence and "--studies" in sentence
    assert "try " not in sentence


@pytest.mark.parametrize(
    ("standings", "end"),
    [
        (TIED, "try `oracle-l4-arith` or `oracle-l3-arith`; `rsr` cannot tell them apart."),
        (SURE, "try `oracle-l6-arith`."),
    ],
)
def test_a_score_that_predicted_better_than_length_recommends_its_first_rank(
    standings: Sequence[Standing], end: str
) -> None:
    study = validation({"rsr": GOOD, "words": NOISE})
    sentence = recommendation("demo", {"rsr": standings, "words": TIED}, [study])
    assert sentence.startswith(
        "On 1 finished study of students of this size (demo on cot_arith in study study) `rsr` predicted best"
    )
    assert "tau = +1.00" in sentence
    assert sentence.endswith(end)


def test_no_score_better_than_length_recommends_by_length_only_if_it_predicted() -> None:
    standings = {"rsr": TIED, "words": SURE}
    by_length = recommendation("demo", standings, [validation({"rsr": NOISE, "words": REVERSED})])
    assert by_length.startswith("No score predicted better than length so far") and "`rsr` has tau = " in by_length
    assert by_length.endswith("By length, try `oracle-l6-arith`.")
    nothing = recommendation("demo", standings, [validation({"rsr": NOISE, "words": NOISE})])
    assert nothing.startswith("No score predicted better than length so far") and "try " not in nothing


def _studies(base: int, best: int, parameters: int, student: str = "other", answers: int = 1) -> list[Measurement]:
    arms = {
        "untrained-0": first_correct(base),
        "oracle-l3-arith": first_correct(best),
        "answer-arith": first_correct(answers),
    }
    return [measure(outcome_table(arms, {"student": student}), parameters)]


@pytest.mark.parametrize(("base", "warned"), [(41, True), (40, True), (39, False)])
def test_a_student_above_what_distillation_reached_is_told_to_measure_first(
    demo: Base, base: int, warned: bool
) -> None:
    own, other = _studies(base, 50, 1, "demo"), _studies(0, 40, demo.parameters)
    sentences = study_notes(replace(demo, name="demo"), "arith", own + other)
    assert (
        sentences[0]
        == "Measured: demo on cot_arith in study study has its highest accuracy with `oracle-l3-arith`, 50.0%."
    )
    assert [sentence.startswith("Measure before you distill") for sentence in sentences[1:]] == [True] * warned
    assert not warned or f"{base}.0%" in sentences[1]


def test_studies_of_another_size_or_benchmark_warn_of_nothing(demo: Base) -> None:
    own = _studies(90, 95, 1, "demo")
    assert len(study_notes(replace(demo, name="demo"), "arith", own + _studies(0, 40, 4 * demo.parameters))) == 1
    assert study_notes(replace(demo, name="demo"), "svamp", own + _studies(0, 40, demo.parameters)) == []


def test_a_base_without_a_study_or_results_is_not_compared(demo: Base, tmp_path: Path) -> None:
    nothing = [measure(outcome_table({"oracle-l3-arith": first_correct(0)}, {"student": "other"}), demo.parameters)]
    assert study_notes(replace(demo, path=str(tmp_path)), "arith", nothing) == []


@pytest.fixture
def base(demo: Base, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The untrained demo student in a folder for a test to change."""
    monkeypatch.chdir(project)
    return replace(demo, path=str(shutil.copytree(demo.path, tmp_path / "base")))


@pytest.mark.slow
def test_the_accuracy_of_an_evaluated_base_needs_no_study_of_it(base: Base) -> None:
    evaluate(Student.open(Path(base.path)), ["cot_arith"], EvaluationConfig(backend="hf", limit=2))
    (sentence,) = study_notes(base, "arith", _studies(0, 0, base.parameters, answers=0))
    assert sentence.startswith("Measure before you distill") and sentence.count("0.0%") == 2
    assert study_notes(base, "arith", _studies(0, 1, base.parameters)) == []


def test_results_of_a_base_that_cannot_be_read_are_named(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    Path(base.path, "results").mkdir()
    assert study_notes(base, "arith", _studies(0, 40, base.parameters)) == []
    assert "There are no results in" in capsys.readouterr().err

"""Measurements: what is read of a finished study, and which of its students are of one size."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from outcomes import answer_rows, first_correct, outcome_table
from support import ROOT

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.recommend.measurements import Measurement, of_size, read_study
from cot_distill_datasets.studies.findings import find
from cot_distill_datasets.studies.records import write_record


ARITH = ROOT / "docs/results/arith"


def _write(folder: Path, parameters: int | None = 1000, base: int = 10) -> Path:
    """Write a study of one student with two configs, and the record of one of its cells and of its base."""
    (folder / "records").mkdir(parents=True)
    arms = {"untrained-0": first_correct(5), "untrained-4": first_correct(base)}
    arms |= {"oracle-l1-arith": first_correct(40, 42), "answer-arith": first_correct(60)}
    pq.write_table(outcome_table(arms), folder / "outcomes.parquet")
    rows = answer_rows([1.0])
    write_record(folder / "records/base.parquet", rows, {"key": "b", "provenance": None})
    if parameters:
        facts = {"key": "k", "provenance": {"student": "other name", "parameters": parameters}}
        write_record(folder / "records/cell.parquet", rows, facts)
    return folder


def test_the_study_arith_is_read_without_its_plan() -> None:
    students = {m.student: m for m in read_study(ARITH)}
    assert {name: m.parameters for name, m in students.items()} == {
        "demo-small": 216512, "demo": 935040, "demo-large": 5082368,
    }  # fmt: skip
    assert len(students["demo"].configs) == 9 and len(students["demo-small"].configs) == 3
    assert "answer-arith" not in students["demo"].configs
    config, accuracy = students["demo"].best
    assert (config, round(accuracy, 3), students["demo"].baseline) == ("oracle-l6-arith", 0.97, 0.0)


def test_a_student_has_the_better_of_its_baselines_its_best_config_and_its_size(tmp_path: Path) -> None:
    (student,) = read_study(_write(tmp_path / "study"))
    assert student.name == "demo on cot_arith in study study"
    assert (student.configs, student.parameters) == (["oracle-l1-arith"], 1000)
    assert (student.baseline, student.best) == (0.10, ("answer-arith", 0.60))


def test_control_characters_in_the_names_of_a_study_are_escaped() -> None:
    (section,) = find(outcome_table({"oracle-l1-arith": first_correct(1)}, {"student": "a\x1b[2Jb"}), {}, 0)
    assert Measurement("b\x07", section, 1).name == r"a\x1b[2Jb on cot_arith in study b\x07"


def test_students_of_one_size_differ_by_a_factor_of_at_most_3(tmp_path: Path) -> None:
    students = read_study(_write(tmp_path / "study", 1000)) + read_study(_write(tmp_path / "unknown", None))
    assert [len(of_size(students, size)) for size in (333, 334, 1000, 3000, 3001)] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_study_without_outcomes_or_with_damaged_ones_is_named(tmp_path: Path, content: bytes | None) -> None:
    folder = _write(tmp_path / "study")
    path = folder / "outcomes.parquet"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(CotDistillError, match=str(folder)) as raised:
        read_study(folder)
    assert "study report" in str(raised.value)


def test_outcomes_that_are_of_another_kind_and_damaged_records_are_named(tmp_path: Path) -> None:
    folder = _write(tmp_path / "study")
    shutil.copy(folder / "records/cell.parquet", folder / "outcomes.parquet")
    with pytest.raises(CotDistillError, match=r"outcomes\.parquet is damaged"):
        read_study(folder)
    folder = _write(tmp_path / "other")
    (folder / "records/cell.parquet").write_bytes(b"PAR1")
    with pytest.raises(CotDistillError, match=r"cell\.parquet is damaged"):
        read_study(folder)

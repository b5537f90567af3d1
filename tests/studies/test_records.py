"""Records: what a cell leaves behind, and when it cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support import run_on_full_disk

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.evaluation.samples import outcomes
from cot_distill_datasets.studies import plan, records
from cot_distill_datasets.studies.records import read_record, write_record
from cot_distill_datasets.studies.study import load_study


def _sample(doc_id: int, filter_: str, correct: int, finish: str = "stop") -> dict[str, object]:
    return {
        "doc_id": doc_id, "doc": {"id": f"arith-{doc_id}"}, "filter": filter_, "exact_match": correct,
        "no_answer": 0, "finish_reason": finish, "output_tokens": 9,
    }  # fmt: skip


SAMPLES = [
    _sample(0, "strict-match", 1),
    _sample(1, "strict-match", 0, "length"),
    _sample(0, "flexible-extract", 1),
    _sample(1, "flexible-extract", 1, "length"),
]


def test_a_record_has_one_row_per_question_with_both_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "records/cell.parquet"
    write_record(path, outcomes(SAMPLES), {"key": "k"})
    table, facts = read_record(path)
    assert table.to_pylist() == [
        {"id": "arith-0", "correct": True, "flexible_correct": True, "no_answer": False, "truncated": False,
         "output_tokens": 9},
        {"id": "arith-1", "correct": False, "flexible_correct": True, "no_answer": False, "truncated": True,
         "output_tokens": 9},
    ]  # fmt: skip
    assert facts == {"version": records.VERSION, "key": "k"}
    assert [file.name for file in path.parent.iterdir()] == ["cell.parquet"]


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cell.parquet"
    write_record(path, outcomes(SAMPLES), {})
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(CotDistillError, match=str(path)):
        read_record(path)


def test_a_parquet_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cell.parquet"
    write_record(path, outcomes(SAMPLES), {})
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(CotDistillError, match=str(path)):
        read_record(path)


def test_a_record_of_another_version_is_rejected_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(records, "VERSION", 99)
        write_record(path, outcomes(SAMPLES), {})
    with pytest.raises(CotDistillError, match=rf"99.*{records.VERSION}"):
        read_record(path)


def test_a_full_disk_is_named_and_leaves_the_old_record(tmp_path: Path) -> None:
    path = tmp_path / "cell.parquet"
    write_record(path, outcomes(SAMPLES), {})
    code = (
        "import sys; from pathlib import Path; from cot_distill_datasets.studies.records import write_record\n"
        "write_record(Path(sys.argv[1]), [{'id': str(n)} for n in range(10_000)], {})"
    )
    ended = run_on_full_disk("-c", code, str(path), limit=5_000)
    assert ended.stderr.splitlines()[-1].startswith(
        f"cot_distill_datasets.errors.CotDistillError: Cannot write {path}"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["cell.parquet"]
    assert read_record(path)[0].num_rows == 2


def test_records_of_an_older_version_of_the_task_are_left_out(
    study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(study_file())
    old = plan.make_plan(study, Path("out"))
    for planned in old.cells:
        write_record(old.record(planned, "cot_arith"), outcomes(SAMPLES), {})
    monkeypatch.setattr(plan, "task_version", lambda task: 99.0)
    new = plan.make_plan(study, Path("out"))
    assert [planned.key for planned in new.cells] == [planned.key for planned in old.cells]  # no student is trained
    assert not any(map(new.is_complete, new.cells))
    with pytest.raises(CotDistillError, match="no records"):
        records.outcomes(new)
    write_record(new.record(new.cells[0], "cot_arith"), outcomes(SAMPLES[1::2]), {})
    assert records.outcomes(new)["id"].to_pylist() == ["arith-1"]
    assert records.outcomes(old).num_rows == 2 * len(old.cells)

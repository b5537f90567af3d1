"""Records: what a cell leaves behind, and when it cannot be read."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.evaluation.samples import outcomes
from cot_distill_datasets.studies import records
from cot_distill_datasets.studies.records import read_record, write_record


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

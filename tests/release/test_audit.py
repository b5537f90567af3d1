"""The audit passes a release as it was built, and reports every broken promise."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support import alter_rows

from cot_distill_datasets.cli import main
from cot_distill_datasets.files import locked
from cot_distill_datasets.release.audit import audit, passed
from cot_distill_datasets.release.build import build
from cot_distill_datasets.schema import Row


@pytest.fixture(scope="module")
def audited(full_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release from the real files, audited."""
    folder = tmp_path_factory.mktemp("audited") / "release"
    shutil.copytree(full_release, folder)
    assert main(["audit", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_the_release_of_the_real_files_keeps_its_promises(audited: Path) -> None:
    report = json.loads((audited / "audit.json").read_bytes())
    assert report["broken"] == [] and passed(audited)
    assert report["parser"].startswith("cot-distill answers ") and report["libraries"]["math-verify"] == "0.9.0"
    configs = {config["stats"]["name"]: config for config in report["configs"]}
    assert {config["in_test"] for config in configs.values()} == {0}
    assert configs["gpt4o-l5-obqa"]["stem_in_test"] == 23  # counted independently of this code
    assert configs["answer-obqa"]["exact_duplicates"] == 5
    assert configs["answer-gsm8k"]["near_duplicates"] == 2
    assert configs["answer-svamp"]["ngram_in_test"] > 100  # SVAMP is made of variations
    flagged = [id_ for id_ in report["flagged"]["ngram"] if id_.startswith("svamp-")]
    assert len(flagged) == configs["answer-svamp"]["ngram_in_test"]
    assert len(report["flagged"]["stem"]) == 23


@pytest.mark.slow
def test_levels_are_compared_by_measured_length_and_alignment(audited: Path) -> None:
    comparisons = json.loads((audited / "audit.json").read_bytes())["comparisons"]
    compared = {(comparison["teacher"], comparison["benchmark"]): comparison for comparison in comparisons}
    assert compared["gpt4o", "svamp"]["not_longer"] == []
    assert compared["gpt4o", "math"]["not_longer"] == ["l5"]
    assert list(compared["gemini", "math"]["words"]) == ["l1", "l2", "l3", "l4", "l5", "l6"]
    assert compared["gemini", "math"]["shared"] < compared["gemini", "math"]["questions"] == 1284


@pytest.mark.slow
def test_the_page_has_the_numbers_of_the_json(audited: Path) -> None:
    page = (audited / "audit.md").read_text()
    assert page.count("Every promise") == 1 and "- broken" not in page
    assert "| `human-strategyqa` | 2290 | 2000 | leaked 290 | 100.0% | in_test 290, no_gold 290 |" in page
    assert "| gpt4o | math |" in page and "no_conclusion" in page


@pytest.fixture
def small(tmp_path: Path, few_problems: None) -> Path:
    build(tmp_path / "release")
    return tmp_path / "release"


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"broken": []}', '{"broken": null, "release": 1}'])
def test_a_release_with_a_damaged_audit_has_not_passed(small: Path, content: str) -> None:
    audit(small)
    assert passed(small)
    (small / "audit.json").write_text(content)
    assert not passed(small)


def _leak(rows: list[Row], test: Row) -> None:
    rows[0] |= {key: test[key] for key in ("id", "question", "answer", "prompt")}


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda row: row.update(id="arith-0"), "the id of their question"),
        (lambda row: row.update(prompt=[{"role": "user", "content": "?"}]), "the prompt of their benchmark"),
        (lambda row: row.update(is_correct=None), "`is_correct`"),
        (lambda row: row.update(teacher_answer="-1", is_correct=False), "contradict the gold"),
        (lambda row: row.update(completion=[]), "no completion"),
        (lambda row: row["completion"][0].update(content=""), "no completion"),
        (lambda row: row.update(rationale="Guess."), "other than the rationale"),
        (lambda row: row.update(rationale="Guess.\n#### -1"), "concludes otherwise"),
        (lambda row: row.update(rationale="The answer is -1. No."), "concludes otherwise"),
    ],
)
def test_each_broken_promise_is_reported_with_its_first_row(
    small: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Row], None], promise: str
) -> None:
    alter_rows(small, "oracle-l3-arith", lambda rows: change(rows[7]))
    assert main(["audit", str(small)]) == 1
    error = capsys.readouterr().err
    assert re.search(rf"1 rows .*{re.escape(promise)}.*arith/train#7", error)
    assert error.count("broken: ") == error.count("broken: oracle-l3-arith: ") > 0
    assert not passed(small)


def test_a_test_question_among_the_training_rows_is_found(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (small / "data/eval-arith").iterdir()
    test = pq.read_table(path).to_pylist()[0]
    alter_rows(small, "oracle-l1-arith", lambda rows: _leak(rows, test))
    assert main(["audit", str(small)]) == 1
    assert re.search(r"oracle-l1-arith: 1 rows .* test split .*arith/train#0", capsys.readouterr().err)


def _reindex(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    index = json.loads((folder / "release.json").read_bytes())
    change(index)
    (folder / "release.json").write_text(json.dumps(index))


def test_a_release_without_the_test_split_of_a_benchmark_cannot_pass(small: Path) -> None:
    _reindex(small, lambda index: index["configs"].pop(0))
    (violation,) = audit(small).broken
    assert violation.startswith("arith: ") and "`eval-arith`" in violation
    _reindex(small, lambda index: index.update(unchecked=["arith"]))
    assert audit(small).broken == []


def test_an_empty_release_cannot_pass(small: Path) -> None:
    _reindex(small, lambda index: index.update(configs=[]))
    assert len(audit(small).broken) == 1 and not passed(small)


def test_a_wrong_mean_length_in_the_index_is_reported(small: Path) -> None:
    _reindex(small, lambda index: index["configs"][2].update(mean_words=9999.9))
    index = json.loads((small / "release.json").read_bytes())
    (violation,) = audit(small).broken
    assert violation.startswith(f"{index['configs'][2]['name']}: ") and "mean length" in violation


def test_a_missing_row_is_reported(small: Path) -> None:
    alter_rows(small, "oracle-l1-arith", lambda rows: rows.pop(0) and None)
    counts = [re.findall(r"oracle-l1-arith: .* (\d+) rows, .* (\d+)\.", text) for text in audit(small).broken]
    assert [("49", "50")] in counts


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_changed_file_is_reported(small: Path, content: bytes) -> None:
    (path,) = (small / "data/answer-arith").iterdir()
    path.write_bytes(content)
    assert any(re.match(rf"answer-arith: .*{path.name}", violation) for violation in audit(small).broken)


def test_different_questions_in_an_aligned_release_are_reported(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path
) -> None:
    build(tmp_path / "out", small_upstream, stand_in_benchmarks, edition="aligned")
    assert audit(tmp_path / "out").broken == []
    alter_rows(tmp_path / "out", "gpt4o-l1-svamp", lambda rows: rows.reverse())
    (violation,) = audit(tmp_path / "out").broken
    assert violation.startswith("gpt4o on svamp: ")


def test_a_release_that_changed_after_its_audit_has_not_passed_it(small: Path) -> None:
    assert not passed(small)  # never audited
    audit(small)
    assert passed(small)
    (path,) = (small / "data/answer-arith").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert not passed(small)
    path.write_bytes(content)
    assert passed(small)
    _reindex(small, lambda index: index.update(edition="paper"))
    assert not passed(small)


def test_a_release_that_is_being_written_is_not_audited(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(small):
        assert main(["audit", str(small)]) == 2
    assert str(small) in capsys.readouterr().err
    assert not (small / "audit.json").exists()


def test_a_folder_without_a_readable_release_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    (tmp_path / "release.json").write_text("{}")
    assert main(["audit", str(tmp_path)]) == 2
    assert str(tmp_path / "release.json") in capsys.readouterr().err

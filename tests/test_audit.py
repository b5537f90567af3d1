"""The audit reads a release back: it passes what was built, and names every promise that is broken."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import copy_upstream

from cot_distill_datasets.audit import audit, passed
from cot_distill_datasets.build import build
from cot_distill_datasets.cli import main
from cot_distill_datasets.folders import locked
from cot_distill_datasets.overlap import near_duplicates, ngrams, words
from cot_distill_datasets.schema import FEATURES, Row


@pytest.fixture(scope="module")
def audited(full_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release from the real files, audited."""
    folder = tmp_path_factory.mktemp("audited") / "release"
    shutil.copytree(full_release, folder)
    assert main(["audit", str(folder)]) == 0
    return folder


def test_the_release_of_the_real_files_keeps_its_promises(audited: Path) -> None:
    found = json.loads((audited / "audit.json").read_bytes())
    assert found["broken"] == [] and passed(audited)
    assert found["parser"].startswith("cot-distill answers ") and found["libraries"]["math-verify"] == "0.9.0"
    configs = {config["stats"]["name"]: config for config in found["configs"]}
    assert {config["in_test"] for config in configs.values()} == {0}
    assert configs["gpt4o-l5-obqa"]["stem_in_test"] == 23  # as counted before, by other code
    assert configs["answer-obqa"]["exact_duplicates"] == 5
    assert configs["answer-gsm8k"]["near_duplicates"] == 2
    assert configs["answer-svamp"]["ngram_in_test"] > 100  # SVAMP is made of variations
    assert (
        len([id_ for id_ in found["flagged"]["ngram"] if id_.startswith("svamp-")])
        == (configs["answer-svamp"]["ngram_in_test"])
    )
    assert len(found["flagged"]["stem"]) == 23


def test_levels_are_compared_by_measured_length_and_alignment(audited: Path) -> None:
    found = json.loads((audited / "audit.json").read_bytes())
    compared = {(found["teacher"], found["benchmark"]): found for found in found["comparisons"]}
    assert compared["gpt4o", "svamp"]["not_longer"] == []
    assert compared["gpt4o", "math"]["not_longer"] == ["l5"]
    assert list(compared["gemini", "math"]["words"]) == ["l1", "l2", "l3", "l4", "l5", "l6"]
    assert compared["gemini", "math"]["shared"] < compared["gemini", "math"]["questions"] == 1286


def test_the_page_says_what_the_json_says(audited: Path) -> None:
    page = (audited / "audit.md").read_text()
    assert "Every promise of the edition is kept" in page
    assert "| `human-strategyqa` | 2290 | 2000 | leaked 290 | 100.0 % | in_test 290, no_gold 290 |" in page
    assert "| gpt4o | math |" in page and "no_conclusion" in page


@pytest.fixture
def small(tmp_path: Path, few_problems: None) -> Path:
    build(tmp_path / "release")
    return tmp_path / "release"


def _alter(folder: Path, config: str, change: Callable[[list[Row]], None]) -> None:
    """Change the rows of a config and name the file by its new content, as somebody who covers his tracks would."""
    (path,) = (folder / "data" / config).iterdir()
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema), path)
    renamed = path.rename(path.with_name(f"train-{sha256(path.read_bytes()).hexdigest()[:16]}.parquet"))
    index = folder / "release.json"
    index.write_text(index.read_text().replace(path.name, renamed.name))


def _leak(rows: list[Row], test: Row) -> None:
    rows[0] |= {key: test[key] for key in ("id", "question", "answer", "prompt")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.update(id="arith-0"), "1 rows have another id than their question"),
        (lambda row: row.update(prompt=[{"role": "user", "content": "?"}]), "another prompt than their benchmark's"),
        (lambda row: row.update(is_correct=None), "an `is_correct` that the grader does not confirm"),
        (lambda row: row.update(teacher_answer="-1", is_correct=False), "1 rows contradict the gold"),
        (lambda row: row.update(completion=[]), "1 rows have no completion"),
        (lambda row: row.update(rationale="Guess."), "another completion than rationale and closing sentence"),
    ],
)
def test_each_broken_promise_is_named_with_its_first_row(
    small: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Row], None], said: str
) -> None:
    _alter(small, "oracle-l3-arith", lambda rows: change(rows[7]))
    assert main(["audit", str(small)]) == 1
    error = capsys.readouterr().err
    assert said in error and "(the first is arith/train#7)" in error
    assert error.count("broken: ") == error.count("broken: oracle-l3-arith: ") > 0
    assert not passed(small)


def test_a_test_question_among_the_training_rows_is_found(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (small / "data/eval-arith").iterdir()
    test = pq.read_table(path).to_pylist()[0]
    _alter(small, "oracle-l1-arith", lambda rows: _leak(rows, test))
    assert main(["audit", str(small)]) == 1
    assert "oracle-l1-arith: 1 rows are in a test split" in capsys.readouterr().err


def _reindex(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    index = json.loads((folder / "release.json").read_bytes())
    change(index)
    (folder / "release.json").write_text(json.dumps(index))


def test_a_release_without_the_test_split_of_a_benchmark_cannot_pass(small: Path) -> None:
    _reindex(small, lambda index: index["configs"].pop(0))
    assert audit(small).broken == ["arith: there is no `eval-arith`, so that its rows cannot be checked for leaks."]
    _reindex(small, lambda index: index.update(unchecked=["arith"]))
    assert audit(small).broken == []


def test_an_empty_release_cannot_pass(small: Path) -> None:
    _reindex(small, lambda index: index.update(configs=[]))
    assert audit(small).broken == ["The release has no training config."]


def test_lengths_are_measured_not_repeated(small: Path) -> None:
    _reindex(small, lambda index: index["configs"][2].update(mean_words=9999.9))
    (said,) = audit(small).broken
    assert "its rationales have not the mean length that release.json says" in said


def test_a_missing_row_is_found(small: Path) -> None:
    _alter(small, "oracle-l1-arith", lambda rows: rows.pop(0) and None)
    assert "oracle-l1-arith: has 49 rows, release.json says 50." in audit(small).broken


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_file_that_is_not_the_one_that_was_built_is_found(small: Path, content: bytes) -> None:
    (path,) = (small / "data/answer-arith").iterdir()
    path.write_bytes(content)
    assert any(said.startswith("answer-arith: data/answer-arith/train-") for said in audit(small).broken)


def test_an_aligned_release_that_is_not_aligned_is_found(
    tmp_path: Path, upstream: Path, benchmarks: Path, few_problems: None
) -> None:
    some = copy_upstream(upstream, tmp_path / "some", "SVAMP_only_ans", "SVAMP_ChatGPT_level1", "SVAMP_ChatGPT_level2")
    build(tmp_path / "out", some, benchmarks, edition="aligned")
    assert audit(tmp_path / "out").broken == []
    _alter(tmp_path / "out", "gpt4o-l1-svamp", lambda rows: rows.reverse())
    assert audit(tmp_path / "out").broken == [
        "gpt4o on svamp: its configs do not have the same questions in the same order."
    ]


def test_a_release_that_changed_after_its_audit_has_not_passed(small: Path) -> None:
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
    assert "Another process writes or publishes" in capsys.readouterr().err


def test_a_folder_without_a_release_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(tmp_path)]) == 2
    assert "There is no release in" in capsys.readouterr().err
    (tmp_path / "release.json").write_text("{}")
    assert main(["audit", str(tmp_path)]) == 2
    assert "cannot be read as that of a release: build it again" in capsys.readouterr().err


def test_near_duplicates_are_questions_that_share_most_of_their_words() -> None:
    told = (
        "Josie received 50 dollars as a gift and buys two tapes at 9 dollars each and a headset, how much has she left"
    )
    questions = {
        "a": words(told, []),
        "b": words(told.replace("Josie", "Amanda"), []),
        "c": words("Where would you find magazines along side many other printed works?", ["bookstore"]),
        "d": words("Yes?", []),
    }
    assert near_duplicates(questions) == {"a": {"b"}, "b": {"a"}}
    assert ngrams(words("One, two: three!", []), 2) == {"one two", "two three"}

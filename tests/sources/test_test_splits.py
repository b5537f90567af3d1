"""The test splits come from the folder of test sets, from the paper's release, else from the Hub."""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

from cot_distill_datasets.benchmarks import TEST_SPLITS
from cot_distill_datasets.sources.test_splits import _items, read_test_splits


def test_every_test_split_is_read_from_the_original_files(upstream: Path, benchmarks: Path) -> None:
    splits, unreadable = read_test_splits(TEST_SPLITS, benchmarks, upstream, hub=False)
    assert unreadable == {}
    assert {name: len(items) for name, items in splits.items()} == {
        "arith": 500, "svamp": 300, "gsm8k": 1319, "aqua": 254, "math": 3072, "csqa": 1221, "obqa": 500,
        "strategyqa": 290, "math500": 500,
    }  # fmt: skip
    assert {len(item.choices) for item in splits["aqua"]} == {5}
    assert {len(item.choices) for item in splits["csqa"]} == {5}
    assert {len(item.choices) for item in splits["obqa"]} == {4}
    assert Counter(item.answer for item in splits["strategyqa"]).keys() == {"True", "False"}
    assert splits["aqua"][0].choices[0] == "5(√3 + 1)"
    assert splits["math"][0].answer == "2" and r"\boxed" not in "".join(item.answer for item in splits["math"])


def test_a_split_that_no_source_has_is_omitted(stand_in_benchmarks: Path) -> None:
    splits, unreadable = read_test_splits(["gsm8k", "csqa"], stand_in_benchmarks, None, hub=False)
    assert (list(splits), unreadable) == (["gsm8k"], {})


@pytest.mark.parametrize(
    ("name", "row", "item"),
    [  # rows of the canonical Hub datasets
        (
            "csqa",
            {"question": "Where?", "choices": {"label": ["A", "B"], "text": ["here", "there"]}, "answerKey": "B"},
            ("Where?", ["here", "there"], "B", "hub#0"),
        ),
        (
            "obqa",
            {"question_stem": "The sun", "choices": {"text": ["is", "was"], "label": ["A", "B"]}, "answerKey": "A"},
            ("The sun", ["is", "was"], "A", "hub#0"),
        ),
        ("gsm8k", {"question": "2 + 2?", "answer": "Add.\n#### 1,004"}, ("2 + 2?", [], "1004", "hub#0")),
        (
            "svamp",
            {"Body": "2 pens.", "Question": "How many?", "Answer": "2.0"},
            ("2 pens. How many?", [], "2", "hub#0"),
        ),
        ("aqua", {"question": "?", "options": ["A)1", "B)2"], "correct": "B"}, ("?", ["1", "2"], "B", "hub#0")),
        ("math", {"problem": "?", "solution": r"\boxed{3}", "type": "Algebra"}, ("?", [], "3", "hub#0")),
    ],
)
def test_rows_of_the_canonical_hub_datasets_are_read(
    name: str, row: dict[str, object], item: tuple[object, ...]
) -> None:
    assert list(_items(name, [row], "hub")) == [item]


def test_math_contains_only_the_four_subjects_of_the_paper() -> None:
    row = {"problem": "?", "solution": r"\boxed{3}", "type": "Geometry"}
    assert list(_items("math", [row], "hub")) == []


@pytest.mark.parametrize("content", ["[{", "[7]", '[{"question": "2?"}]', '{"question": "2?", "answer": "no number"}'])
def test_a_broken_test_file_is_named_in_the_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text(content)
    splits, unreadable = read_test_splits(["gsm8k"], tmp_path, None, hub=False)
    assert (splits, list(unreadable)) == ({}, ["eval-gsm8k"])
    assert "gsm8k/test.jsonl: " in unreadable["eval-gsm8k"]


def test_a_test_file_may_be_json_or_json_lines(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "2 + 2?", "answer": "#### 4"}
    for text in (json.dumps([row]), json.dumps(row) + "\n"):
        (tmp_path / "gsm8k/test.jsonl").write_text(text)
        assert len(read_test_splits(["gsm8k"], tmp_path, None, hub=False)[0]["gsm8k"]) == 1


@pytest.mark.slow
def test_splits_that_no_folder_has_are_downloaded_from_the_hub(tmp_path: Path) -> None:
    """Uses the real client over HTTP, against a local Hub with two of the canonical datasets."""
    answers = {"question": ["2 + 2?", "3 + 3?"], "answer": ["#### 4", "#### 6"]}
    options = {"question": ["Where?"], "choices": [{"label": ["A", "B"], "text": ["in", "out"]}], "answerKey": ["B"]}
    code = (
        "import json; from cot_distill_datasets.sources.test_splits import read_test_splits\n"
        "print(json.dumps(read_test_splits(['gsm8k', 'csqa', 'aqua', 'strategyqa'], None, None, hub=True)[0]))"
    )
    with HubServer() as hub:
        hub.add_repo("openai/gsm8k", _parquet_repo("main", "test", answers))
        hub.add_repo("tau/commonsense_qa", _parquet_repo("default", "validation", options))
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        result = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "gsm8k": [["2 + 2?", [], "4", "openai/gsm8k/main/test#0"], ["3 + 3?", [], "6", "openai/gsm8k/main/test#1"]],
        "csqa": [["Where?", ["in", "out"], "B", "tau/commonsense_qa/default/validation#0"]],
    }


def _parquet_repo(config: str, split: str, columns: dict[str, list[object]]) -> dict[str, bytes]:
    """Return the files of a dataset repo: a card that lists its only config, and a Parquet file."""
    path, content = f"data/{split}-00000-of-00001.parquet", io.BytesIO()
    pq.write_table(pa.table(columns), content)
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {path}\n---\n"
    return {"README.md": card.encode(), path: content.getvalue()}


def _gsm8k(folder: Path, text: str) -> Path:
    (folder / "gsm8k").mkdir(parents=True)
    (folder / "gsm8k/test.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        '{"question": "2 + 2?", "answer": "4\\n#### 4"}\n\n',
        '\ufeff{"question": "2 + 2?", "answer": "4\\n#### 4"}',
        '{"question": "2 +\u20282?", "answer": "4\\n#### 4"}\r\n',
    ],
    ids=["empty last line", "BOM", "U+2028"],
)
def test_a_test_file_may_have_what_editors_write(tmp_path: Path, text: str) -> None:
    splits, _ = read_test_splits(["gsm8k"], _gsm8k(tmp_path, text), None, hub=False)
    assert [item.answer for item in splits["gsm8k"]] == ["4"]


def test_options_of_aqua_may_have_no_letters_and_its_gold_may_be_a_letter(tmp_path: Path) -> None:
    (tmp_path / "aqua").mkdir()
    row = {"question": "2 + 3?", "options": ["5", "6 (or 7)"], "correct": "A"}
    (tmp_path / "aqua/test.json").write_text(json.dumps([row]))
    assert read_test_splits(["aqua"], tmp_path, None, hub=False)[0]["aqua"][0].choices == ["5", "6 (or 7)"]

"""Stores of generated CoT: their lines, what each answer is judged to be, and the rows they become."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import PARAMETERS, arith_answers, make_answer, write_store

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.release.editions import DEFAULT_EDITION
from cot_distill_datasets.release.selection import select
from cot_distill_datasets.schema import ConfigRows, Gold
from cot_distill_datasets.sources.generated import (
    ANSWERS,
    REASONS,
    Answer,
    has_shape,
    latest_positions,
    load_answers,
    read_answers,
    reason,
    source,
)


CONFIG = "tiny-l3-svamp"


def _answer(text: str, **values: object) -> Answer:
    return make_answer(CONFIG, "Ann has 2 pens and buys 3. How many pens does Ann have?", "5", text, **values)


def _rows(store: Path, golds: dict[str, Gold] | None = None) -> ConfigRows:
    (reader,) = source(store.parent, ["svamp", "csqa", "arith"]).readers.values()
    return reader(golds or {})


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("2 + 3 = 5.\nThe answer is 5", {}, "kept"),
        ("2 + 3 = 5.\nThe answer is 5.0 pens", {}, "kept"),
        ("<think>2 and 3 are 6.</think>2 + 3 = 5.\nThe answer is 5", {}, "kept"),
        ("2 * 3 = 6.\nThe answer is 6", {}, "wrong"),
        ("The answer is 6. 2 + 3 = 5. The answer is 5", {}, "wrong"),
        ("2 + 3 = 6. The answer is 6. The answer is 5", {}, "wrong"),  # it repeats the gold that it was shown
        ("2 + 3 = 5.\nThe answer is 5", {"finish_reason": "length"}, "truncated"),
        ("", {}, "empty"),
        (" \n", {}, "empty"),
        ("The answer is 5", {}, "empty"),
        ("5", {}, "empty"),
        ("I cannot help with that.", {"refusal": "policy"}, "refused"),
        ("2 + 3 = 5.\nThe answer is 5", {"finish_reason": "content_filter"}, "refused"),
        ("First we add, and then we look at the pens.", {}, "unreadable"),
        ("2 + 3 = 5 \ud800.\nThe answer is 5", {}, "unreadable"),
    ],
)
def test_an_answer_is_kept_or_has_one_reason(text: str, values: dict[str, object], expected: str) -> None:
    assert reason(_answer(text, **values)) == expected
    assert expected in REASONS


def test_an_option_in_place_of_its_letter_is_read() -> None:
    text = "It is dark there.\nThe answer is den"
    assert reason(make_answer("tiny-l1-csqa", "Where?", "B", text, choices=["sea", "den"])) == "kept"


PARTS = ("2 + 3 = 5.", "The answer is 5", "The answer is 6", "The answer is not 5", "#### 5", "5", "\n", "</think>")
PARTS += ("\\boxed{5}", "Answer: 6", "So 6 pens.", "The answer is", "\x1b[2J", "<answer>5</answer>", "{", "$", ",")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PARTS), max_size=5))
def test_the_default_edition_keeps_exactly_the_kept_answers(tmp_path: Path, parts: list[str]) -> None:
    answer = _answer(" ".join(parts))
    rows = _rows(write_store(tmp_path / "tiny", [answer])).rows
    assert bool(rows) is (reason(answer) == "kept")
    assert list(select(rows, DEFAULT_EDITION)[0]) == rows


def test_a_line_survives_the_store_whatever_a_model_wrote(tmp_path: Path) -> None:
    answers = [_answer("a\nb\r\u2028\x00\x1b[31m\ud800 ü"), _answer("x", sample=1, prompt_tokens=None, refusal="no")]
    store = write_store(tmp_path / "tiny", answers)
    assert list(read_answers(store)) == answers
    assert (store / ANSWERS).read_bytes().isascii()


def test_a_torn_last_line_does_not_count(tmp_path: Path) -> None:
    store = write_store(tmp_path / "tiny", [_answer("x"), _answer("y", sample=1)])
    whole = (store / ANSWERS).read_bytes()
    for torn in (whole[:-1], whole[:-40], whole + b'{"key": "'):
        (store / ANSWERS).write_bytes(torn)
        assert [answer.text for answer in read_answers(store)] == ["x", "y"][: torn.count(b"\n")]


BROKEN = [{"text": None}, {"choices": "ab"}, {"choices": [1]}, {"config": 7}, {"sample": "0"}, {"parameters": []}]


@pytest.mark.parametrize("line", ["{}", "[1]", "{", "7", "[" * 100_000, *BROKEN], ids=lambda line: str(line)[:20])
def test_another_broken_line_is_named(line: str | dict[str, object], tmp_path: Path) -> None:
    whole = _answer("x").line()
    broken = line if isinstance(line, str) else json.dumps(json.loads(whole) | line)
    store = write_store(tmp_path / "tiny", [])
    (store / ANSWERS).write_text(f"{whole}{broken}\n")
    with pytest.raises(CotDistillError, match=r"answers\.jsonl: line 2 "):
        list(read_answers(store))
    assert list(source(tmp_path, ["svamp"]).skipped) == ["tiny"]


def test_the_latest_line_of_a_key_counts(tmp_path: Path) -> None:
    failed = _answer("", finish_reason="length")
    again = replace(failed, text="2 + 3 = 5.\nThe answer is 5", finish_reason="stop")
    store = write_store(tmp_path / "tiny", [failed, _answer("other", sample=1), again])
    positions = latest_positions(store)[CONFIG]
    assert [answer.text for answer in load_answers(store, positions)] == ["other", again.text]
    assert _rows(store).rows_in == 2


def test_of_several_kept_samples_the_lowest_is_used_in_any_order_of_the_store(tmp_path: Path) -> None:
    right = [_answer(f"Sample {n}: 2 + 3 = 5.\nThe answer is 5", sample=n) for n in (1, 2)]
    answers = [_answer("2 * 3 = 6.\nThe answer is 6"), *right]
    for order in (answers, answers[::-1]):
        read = _rows(write_store(tmp_path / "tiny", order))
        assert [row["sample"] for row in read.rows] == [1]
        assert (read.rows_in, read.dropped) == (3, {"contradicting": 1, "other_sample": 1})


def test_a_row_says_how_it_was_generated(tmp_path: Path) -> None:
    answer = _answer("2 + 3 = 5.\nThe answer is 5", gold_in_prompt=True, sample=2)
    (row,) = _rows(write_store(tmp_path / "tiny", [answer])).rows
    facts = {name: row[name] for name in ("gold_in_prompt", "prompt_hash", "sample", "model", "source")}
    assert facts == {
        "gold_in_prompt": True, "prompt_hash": answer.prompt_hash, "sample": 2, "model": "org/tiny-1",
        "source": f"tiny/answers.jsonl#{answer.key[:16]}",
    }  # fmt: skip
    assert json.loads(row["parameters"]) == PARAMETERS
    assert (row["rationale"], row["answer"], row["is_correct"]) == ("2 + 3 = 5.", "5", True)


def test_the_gold_of_the_release_is_used_where_the_two_differ(tmp_path: Path) -> None:
    answer = _answer("2 + 3 = 5.\nThe answer is 5")
    read = _rows(write_store(tmp_path / "tiny", [answer]), {answer.id: Gold("6", "6", [])})
    assert (read.rows, read.dropped) == ([], {"contradicting": 1})


def test_configs_that_cannot_be_built_are_skipped_by_name(tmp_path: Path) -> None:
    text = "2 + 3 = 5.\nThe answer is 5"
    write_store(tmp_path / "gpt4o", [make_answer("gpt4o-l1-svamp", "2 + 3?", "5", text)])
    write_store(tmp_path / "renamed", [_answer(text)])
    write_store(
        tmp_path / "new", [make_answer("new-l1-gsm8k", "2 + 3?", "5", text), *arith_answers("new-l1-arith", 1)]
    )
    found = source(tmp_path, ["svamp", "arith"])
    assert list(found.readers) == [ConfigName.parse("new-l1-arith")]
    assert found.skipped.keys() == {"gpt4o-l1-svamp", CONFIG, "new-l1-gsm8k"}


def test_a_folder_without_a_store_is_rejected(tmp_path: Path) -> None:
    store = write_store(tmp_path / "tiny", [_answer("x")])
    for folder in (store, tmp_path / "absent"):
        with pytest.raises(CotDistillError, match="has no store"):
            source(folder, ["svamp"])


def test_each_format_is_told_by_its_shape() -> None:
    texts = {
        "cot": "Tom has 4 + 5 = 9 pens. The total is 9.",
        "l2m": "How many pens are there? There are 4 + 5 = 9. How many are left? All 9 are.",
        "rar": "In other words: 4 pens and 5 pens are put together.\n4 + 5 = 9.",
        "symbolic": "Let a = 4 and b = 5. ∴ x = 9.",
    }
    shapes = {format_: [text for text, other in texts.items() if has_shape(format_, other)] for format_ in texts}
    assert shapes == {"cot": list(texts), "l2m": ["l2m"], "rar": ["rar"], "symbolic": ["symbolic"]}
    thoughts = "<think>What is asked? What is known? Let a = 4, b = 5.</think>"
    assert [format_ for format_ in texts if has_shape(format_, thoughts + texts["rar"])] == ["cot", "rar"]

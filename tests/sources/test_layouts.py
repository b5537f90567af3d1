"""Each public layout is recognized by its columns; a row that is not one question and one answer is rejected."""

from typing import Any

import pytest

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.grading.conclusions import Kind
from cot_distill_datasets.sources.layouts import Example, RejectedError, read_example, recognize


USER, ASSISTANT = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is 4."}
HUMAN, GPT = {"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "It is 4."}
SYSTEM = {"role": "system", "content": "You add."}
LAYOUTS: dict[str, dict[str, Any]] = {
    "prompt and completion": {"prompt": "2 + 2?", "completion": "It is 4."},
    "prompt and completion turns": {"prompt": [USER], "completion": [ASSISTANT]},
    "a turn and a text": {"prompt": [USER], "completion": "It is 4."},
    "a text and a turn": {"prompt": "2 + 2?", "completion": [ASSISTANT]},
    "messages": {"messages": [USER, ASSISTANT], "id": 7},
    "messages in parts": {"messages": [USER | {"content": [{"type": "text", "text": "2 + 2?"}]}, ASSISTANT]},
    "ShareGPT": {"conversations": [HUMAN, GPT]},
    "OpenAI's turns in ShareGPT's column": {"conversations": [USER, ASSISTANT]},
    "Alpaca": {"instruction": "2 + 2?", "input": "", "output": "It is 4."},
    "question and answer": {"question": "2 + 2?", "answer": "It is 4."},
}


def _read(row: Any, kind: Kind = "number", **mapping: str) -> Example:
    return read_example(recognize(list(row), mapping), row, kind)


def _rejection(row: dict[str, Any], kind: Kind = "number", **mapping: str) -> tuple[str, str]:
    with pytest.raises(RejectedError) as error:
        _read(row, kind, **mapping)
    return error.value.reason, str(error.value)


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_a_public_layout_is_recognized_by_its_columns(row: dict[str, Any]) -> None:
    assert _read(row)[:3] == ("2 + 2?", [], "It is 4.")


@pytest.mark.parametrize(
    ("row", "kind", "gold"),
    [
        ({"question": "q?", "answer": "9 * 2 = <<9*2=18>>18.\n#### 1,800"}, "number", "1800"),
        ({"question": "q?", "answer": "So it is $\\boxed{\\frac12}$, as we saw."}, "math", "\\frac{1}{2}"),
        ({"question": "q?", "answer": "Cats are big.\nThe answer is yes"}, "boolean", "True"),
        ({"messages": [USER, ASSISTANT], "answer": "steps\n#### 4"}, "number", "4"),
        ({"messages": [USER, ASSISTANT], "answer": "thus \\boxed{4}"}, "math", "4"),
        ({"messages": [USER, ASSISTANT], "answer": 4}, "number", "4"),
        ({"messages": [USER, ASSISTANT], "answer": None}, "number", None),
        ({"messages": [USER, ASSISTANT]}, "number", None),
        ({"prompt": "q?", "completion": "The answer is 4"}, "number", None),
        ({"prompt": "q?", "completion": "c", "choices": ["den", "sea"], "answer": "sea"}, "choice", "B"),
        ({"prompt": "q?", "completion": "c", "choices": ["den", "sea"], "answer": 1}, "choice", "B"),
        ({"prompt": "q?", "completion": "c", "choices": [5, 1, 7], "answer": 5}, "choice", "A"),
        ({"prompt": "q?", "completion": "c", "choices": ["5", "1"], "answer": 1}, "choice", "B"),
        ({"prompt": "q?", "completion": "c", "choices": ["1", "5"], "answer": 1}, "choice", "1"),  # A or B
    ],
)
def test_the_gold_is_read_from_its_column(row: dict[str, Any], kind: Kind, gold: str | None) -> None:
    assert _read(row, kind).answer == gold


def test_the_input_of_alpaca_follows_its_instruction() -> None:
    assert _read({"instruction": "Add.", "input": "2, 2", "output": "4"}).question == "Add.\n2, 2"


def test_a_thought_beside_the_response_precedes_it() -> None:
    turn = ASSISTANT | {"reasoning_content": "2 and 2."}
    assert _read({"messages": [USER, turn]}).response == "<think>2 and 2.</think>\nIt is 4."


@pytest.mark.parametrize("options", [["den", "sea"], ["A) den", "B) sea"], {"text": ["den", "sea"], "label": "AB"}])
def test_options_have_a_column_of_their_own(options: Any) -> None:
    assert _read({"question": "Where?", "options": options, "answer": "So B."}, "choice").choices == ["den", "sea"]
    assert _read({"question": "How many?", "options": options, "answer": "So 4."}).choices == []


def test_a_mapping_names_the_columns_of_any_other_layout() -> None:
    row = {"problem": "2 + 2?", "generation": "It is 4.", "final": "4", "answer": "not this one"}
    assert _read(row, question="problem", response="generation", answer="final") == ("2 + 2?", [], "It is 4.", "4")
    assert _read({"messages": [USER, ASSISTANT], "final": "4"}, answer="final").answer == "4"
    assert _read({"conversations": [HUMAN, GPT | {"value": "It is 4.\n#### 4"}]}, answer="conversations").answer == "4"


@pytest.mark.parametrize(
    ("columns", "mapping", "named"),
    [
        (["problem", "generation"], {"question": "problm", "response": "generation"}, "'problm' .*`problem`"),
        (["text", "label"], {}, "`text`, `label`"),
        (["messages"], {"response": "messages"}, "`--map question=COLUMN"),
        (["\x1b[31mred", "x"], {"question": "red"}, r"`\\x1b\[31mred`"),
    ],
)
def test_an_absent_column_is_named_with_the_nearest(columns: list[str], mapping: dict[str, str], named: str) -> None:
    with pytest.raises(CotDistillError, match=named):
        recognize(columns, mapping)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [SYSTEM, USER, ASSISTANT]}, "system_turn"),
        ({"messages": [{"role": "developer", "content": "x"}, USER, ASSISTANT]}, "system_turn"),
        ({"conversations": [{"from": "system", "value": "x"}, HUMAN, GPT]}, "system_turn"),
        ({"conversations": [HUMAN, GPT], "system": "You add."}, "system_turn"),
        ({"instruction": "q", "output": "a", "history": [["hi", "hello"]]}, "several_turns"),
        ({"messages": [USER, ASSISTANT, USER, ASSISTANT]}, "several_turns"),
        ({"messages": [USER]}, "several_turns"),
        ({"messages": [ASSISTANT, USER]}, "several_turns"),
        ({"messages": [USER, ASSISTANT | {"tool_calls": [{"id": "1"}]}]}, "tool_call"),
        ({"messages": [USER, ASSISTANT, {"role": "tool", "content": "4"}, ASSISTANT]}, "tool_call"),
        ({"conversations": [HUMAN, {"from": "function_call", "value": "{}"}, GPT]}, "tool_call"),
    ],
)
def test_a_conversation_that_is_not_one_question_and_one_answer_is_rejected(row: dict[str, Any], reason: str) -> None:
    assert _rejection(row)[0] == reason


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": "2 + 2?"}, "no list of turns in column 'messages'"),
        ({"messages": None}, "no list of turns in column 'messages'"),
        ({"messages": ["2 + 2?", "4"]}, "a turn that is not an object"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "null in a turn"),
        ({"messages": [USER | {"content": [{"type": "image"}]}, ASSISTANT]}, "no text in a turn"),
        ({"prompt": "q?", "completion": {"text": "a"}}, "no text in column 'completion'"),
        ({"prompt": "q?", "completion": None}, "null in column 'completion'"),
        ({"prompt": "q \ud800?", "completion": "a"}, "lone surrogate"),
        ({"prompt": "q?", "completion": "a" * 100_001}, "100,000 characters"),
        ({"prompt": "  ", "completion": "a"}, "an empty question"),
        ({"question": "q?", "answer": "B", "choices": "A, B"}, "no list of options"),
        ({"question": "q?", "answer": "z", "choices": list("abcdefghijklmnopqrstuvwxyz")}, "26 options"),
    ],
)
def test_a_broken_row_is_rejected_with_what_it_has(row: dict[str, Any], problem: str) -> None:
    reason, text = _rejection(row, "choice" if "choices" in row else "number")
    assert reason == "unreadable" and problem in text


def test_a_row_that_lacks_a_column_of_its_file_is_rejected() -> None:
    with pytest.raises(RejectedError, match="no column 'completion'"):
        read_example(recognize(["prompt", "completion"], {}), {"prompt": "q?"}, "number")

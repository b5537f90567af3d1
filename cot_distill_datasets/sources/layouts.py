"""Recognize the layout of a user's rows by their columns, and read question, response and gold from a row.

>>> layout = recognize(["instruction", "input", "output"], {})
>>> read_example(layout, {"instruction": "Add.", "input": "2, 3", "output": "2 + 3 = 5. The answer is 5"}, "number")
Example(question='Add.\\n2, 3', choices=[], response='2 + 3 = 5. The answer is 5', answer=None)

Sources: TRL's dataset formats (`prompt`, `completion`; `messages`), ShareGPT (`conversations`), Stanford Alpaca,
GSM8K (`#### 18` ends an answer), and the tags of DeepSeek-R1 (`<think>`), which `responses` reads.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..errors import CotDistillError, nearest
from ..grading.answers import extract
from ..grading.conclusions import LETTERS, Kind
from ..grading.formulas import last_boxed
from ..templates import printable
from .manifest import SURROGATE
from .questions import strip_labels
from .records import BrokenRow
from .repairs import repair_text
from .upstream import MAX_TEXT


class Layout(NamedTuple):
    """The column of each part of a row. Turns take the place of question and response; `input` follows a question."""

    question: str | None = None
    response: str | None = None
    turns: str | None = None
    input: str | None = None
    choices: str | None = None
    answer: str | None = None


class Example(NamedTuple):
    """What a row says: the teacher's response and the gold as written, either of which may be missing."""

    question: str
    choices: list[str]
    response: str | None
    answer: str | None


class RejectedError(Exception):
    """A row that cannot be used: why (a reason of `release.folder.DROPPED`), and what it has (`has a system turn`)."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


_KNOWN = (  # the first whose columns are all present
    Layout(turns="messages"),
    Layout(turns="conversations"),
    Layout("prompt", "completion"),
    Layout("instruction", "output"),
    Layout("question", "answer"),
)
_CHOICES = ("choices", "options")
_ROLES = {"human": "user", "gpt": "assistant", "function_call": "tool", "observation": "tool", "function": "tool"}
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # of servers that split a response
_GOLD_MARK = "####"


def recognize(columns: Collection[str], mapping: Mapping[str, str]) -> Layout:
    """Return the layout of rows with these columns; `mapping` (part → column) takes precedence.

    Raises CotDistillError if a column of the mapping is absent, or the columns are not a known layout.
    """
    names = ", ".join(f"`{printable(name)}`" for name in columns)
    for part, column in mapping.items():
        if column not in columns:
            near = nearest(column, map(printable, columns))
            raise CotDistillError(f"There is no column {column!r} for the {part}: use {near}.")
    known = (layout for layout in _KNOWN if all(column in columns for column in layout if column))
    layout = Layout() if "question" in mapping or "response" in mapping else next(known, Layout())
    if not (layout.turns or layout.question or "question" in mapping):
        raise CotDistillError(
            f"The columns {names} match no known layout: pass `--map question=COLUMN,response=COLUMN,answer=COLUMN`."
        )
    layout = layout._replace(
        input="input" if layout.question == "instruction" and "input" in columns else None,
        choices=next((name for name in _CHOICES if name in columns), None),
        answer="answer" if "answer" in columns and not mapping.get("question") else None,
    )
    return layout._replace(**mapping)


def read_example(layout: Layout, row: Any, kind: Kind) -> Example:
    """Return what a row says. Raises RejectedError if it is broken, or not one question and one answer.

    If the gold has the column of the response, as in GSM8K's layout, the response concludes with it.
    """
    if not isinstance(row, dict):
        problem = row.problem if isinstance(row, BrokenRow) else "is not an object, or has a key twice"
        raise RejectedError("unreadable", problem)
    if _cell(row, "system"):
        raise RejectedError("system_turn", "has a system turn")
    if _cell(row, "history"):  # of LLaMA-Factory's Alpaca files
        raise RejectedError("several_turns", "has several turns")
    turns = _turns(layout, row)
    question, response = _pair(turns) if turns is not None else (_text(row, layout.question), None)
    if turns is None and layout.response:
        response = _text(row, layout.response)
    if layout.input and row.get(layout.input):
        question = f"{question}\n{_text(row, layout.input)}"
    if not question.strip():
        raise RejectedError("unreadable", "has an empty question")
    choices = _choices(row, layout) if kind == "choice" else []
    if response is not None and layout.answer in {layout.response, layout.turns} - {None}:
        gold = extract(repair_text(response)[0], kind, strict=False)
    else:
        gold = _gold(row, layout, kind, choices)
    return Example(question, choices, response, gold)


def _turns(layout: Layout, row: dict[str, Any]) -> list[Any] | None:
    """Return the turns of a row; None if its question and response are text."""
    if layout.turns:
        turns = _cell(row, layout.turns)
        if not isinstance(turns, list):
            raise RejectedError("unreadable", f"has no list of turns in column {layout.turns!r}")
        return turns
    parts = {"user": _cell(row, layout.question), "assistant": _cell(row, layout.response)}
    if not any(isinstance(part, list) for part in parts.values()):
        return None
    return [
        turn
        for role, part in parts.items()
        for turn in (part if isinstance(part, list) else [{"role": role, "content": part}])
    ]


def _pair(turns: list[Any]) -> tuple[str, str]:
    """Return the question and the response of a conversation."""
    if not all(isinstance(turn, dict) for turn in turns):
        raise RejectedError("unreadable", "has a turn that is not an object")
    roles = [str(turn.get("role") or turn.get("from")) for turn in turns]
    roles = [_ROLES.get(role, role) for role in roles]
    if "tool" in roles or any(turn.get("tool_calls") or turn.get("function_call") for turn in turns):
        raise RejectedError("tool_call", "calls a tool")
    if {"system", "developer"} & {*roles}:
        raise RejectedError("system_turn", "has a system turn")
    if roles != ["user", "assistant"]:
        raise RejectedError("several_turns", "is not one turn of the user and one of the assistant")
    question, response = (_content(turn) for turn in turns)
    thought = next((_usable(turns[1][name], "a turn") for name in _THOUGHTS if turns[1].get(name)), None)
    return question, response if thought is None else f"<think>{thought}</think>\n{response}"


def _content(turn: dict[str, Any]) -> str:
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text")) for part in content)
    return _usable(content, "a turn")


def _cell(row: dict[str, Any], column: str | None) -> Any:
    return row.get(column) if column else None


def _text(row: dict[str, Any], column: str | None) -> str:
    if column not in row:
        raise RejectedError("unreadable", f"has no column {column!r}")
    return _usable(row[column], f"column {column!r}")


def _usable(text: Any, place: str) -> str:
    """Return a text, with one kind of line breaks. Raises RejectedError if a row may not have it."""
    if type(text) in (int, float, bool):
        text = str(text)
    if not isinstance(text, str):
        raise RejectedError("unreadable", f"has {'null' if text is None else 'no text'} in {place}")
    if len(text) > MAX_TEXT:
        raise RejectedError("unreadable", f"has more than {MAX_TEXT:,} characters in {place}")
    if SURROGATE.search(text):
        raise RejectedError("unreadable", f"has a lone surrogate in {place}")
    return str(text).replace("\r\n", "\n")


def _choices(row: dict[str, Any], layout: Layout) -> list[str]:
    choices = _cell(row, layout.choices)
    if isinstance(choices, dict):  # of the Hub's CommonsenseQA and OpenBookQA
        choices = choices.get("text")
    if choices is None:
        return []
    if not isinstance(choices, list):
        raise RejectedError("unreadable", f"has no list of options in column {layout.choices!r}")
    if len(choices) > len(LETTERS):
        raise RejectedError("unreadable", f"has {len(choices)} options")
    return strip_labels([_usable(choice, f"column {layout.choices!r}").strip() for choice in choices])


def _gold(row: dict[str, Any], layout: Layout, kind: Kind, choices: list[str]) -> str | None:
    """Return the gold of a row as written, or None without one.

    That of a question with options may be their text, or their number from 0 (the Hub's MMLU).
    """
    cell = _cell(row, layout.answer)
    if cell in (None, ""):
        return None
    text, _ = repair_text(_text(row, layout.answer))
    letters = {LETTERS[choices.index(text)]} if text in choices else set()
    letters |= {LETTERS[cell]} if type(cell) is int and 0 <= cell < len(choices) else set()
    if len(letters) == 1:  # of two, neither is certain
        return letters.pop()
    if _GOLD_MARK in text:
        return text.rpartition(_GOLD_MARK)[2].strip()
    return (last_boxed(text) if kind == "math" else None) or text

"""The files of the paper's release as typed rows: parsed, repaired, each joined to its gold by the id of its question.

entries = read_manifest(data)
rows = read_rows(entry, data, read_golds(answer_only, data)).rows
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .benchmarks import BENCHMARKS
from .latex import tidy
from .manifest import Entry, file_of
from .questions import parse_question
from .repairs import repair_gold, repair_text
from .responses import read_response
from .schema import Read, Row, cot_row, question_id
from .taxonomy import CotDistillError


MAX_TEXT = 100_000  # characters of one field; the longest of the release has 13,045

_SURROGATE = re.compile("[\ud800-\udfff]")
_SOLUTION = "solution"  # the column of MATH's own solutions
_OTHER_RESPONSE = "_output"  # `chatgpt_output` in a file whose column is `gemini_output`


class Gold(NamedTuple):
    """The canonical gold answer of a question, None where none can be read; as released; the repairs it needed."""

    answer: str | None
    released: str
    repairs: list[str]


def read_golds(entry: Entry, data: Path) -> dict[str, Gold]:
    """Return the gold answers of a benchmark by question id, from its answer-only file; an unreadable one is None.

    Raises:
        CotDistillError: the file cannot be read, or a row has no question or no response; the text names it.
    """
    kind = BENCHMARKS[entry.config.benchmark].answer_kind
    golds = {}
    for index, row in enumerate(_read_json(entry, data)):
        question, choices, _ = _question(entry, index, row)
        released = _text(entry, index, row, entry.response_column)
        answer, repairs = repair_gold(released, kind, row.get(_SOLUTION))
        golds[question_id(entry.config.benchmark, question, choices)] = Gold(answer, released, repairs)
    return golds


def read_rows(entry: Entry, data: Path, golds: dict[str, Gold], *, own_text: bool = False) -> Read:
    """Return the entry's rows, each joined to its gold by id; `own_text` makes the teacher's text the completion.

    Raises:
        CotDistillError: the file cannot be read, or a row has no question or no response; the text names it.
    """
    loaded = _read_json(entry, data)
    rows, dropped = [], {"other_teacher": 0, "no_answer": 0, "empty": 0}
    for index, row in enumerate(loaded):
        if entry.response_column not in row and any(key.endswith(_OTHER_RESPONSE) for key in row):
            dropped["other_teacher"] += 1  # keyed under another teacher's output: not this one's
            continue
        if row.get(entry.response_column) == "":
            dropped["empty"] += 1
            continue
        made = _row(entry, index, row, golds, own_text)
        if made is None:
            dropped["no_answer"] += 1
        else:
            rows.append(made)
    return Read(rows, len(loaded), {reason: count for reason, count in dropped.items() if count})


def _row(entry: Entry, index: int, row: dict[str, Any], golds: dict[str, Gold], own_text: bool) -> Row | None:
    config, kind = entry.config, BENCHMARKS[entry.config.benchmark].answer_kind
    question, choices, repairs = _question(entry, index, row)
    gold = golds.get(question_id(config.benchmark, question, choices))
    answer = gold.answer if gold else None
    text, text_repairs = repair_text(_text(entry, index, row, entry.response_column))
    if config.teacher == "answer":
        rationale, concluded, found, text = None, answer, gold.repairs if gold else [], answer or text
    else:
        rationale, concluded, found = read_response(text, answer, kind)
        if (
            gold and "cut_gold" in gold.repairs and answer != concluded == tidy(gold.released)
        ):  # it was shown the cut one
            concluded, found = answer, [*found, "cut_gold"]
        if entry.response_column == _SOLUTION:  # the gold was taken out of this very text
            concluded = answer
    doubtful = ["doubtful_gold"] if gold and answer is None else []
    return cot_row(
        config, question, choices, answer,
        rationale=rationale, teacher_answer=concluded,
        source=f"data/{entry.file_name}#{index}",
        flags=list(dict.fromkeys([*repairs, *text_repairs, *found, *doubtful])),
        own_text=text if own_text else None,
    )  # fmt: skip


def _read_json(entry: Entry, data: Path) -> list[dict[str, Any]]:
    """Return the rows of the entry's file, each an object whose keys differ."""
    try:
        loaded = json.loads(file_of(entry, data).read_bytes(), object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
        raise CotDistillError(f"{entry.file_name}: cannot be read: {error}.") from error
    if not isinstance(loaded, list):
        raise CotDistillError(f"{entry.file_name}: holds no list of rows.")
    for index, row in enumerate(loaded):
        if not isinstance(row, dict):
            what = "has a key twice" if isinstance(row, _Repeated) else "is no object"
            raise CotDistillError(f"{entry.file_name}: row {index} {what}.")
    return loaded


class _Repeated(list[tuple[str, Any]]):
    """A JSON object that has a key twice: `json` would silently keep the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Repeated(pairs)


def _question(entry: Entry, index: int, row: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """Return (question, choices, repairs)."""
    question, choices, repairs = _parse(_text(entry, index, row, entry.question_column))
    if not question:
        raise CotDistillError(f"{entry.file_name}: row {index} has an empty question.")
    if BENCHMARKS[entry.config.benchmark].answer_kind == "choice" and len(choices) < 2:
        raise CotDistillError(f"{entry.file_name}: row {index} has no options in its question.")
    return question, choices, repairs


@lru_cache(100_000)  # a question comes again at every level
def _parse(text: str) -> tuple[str, list[str], list[str]]:
    repaired, repairs = repair_text(text)
    return *parse_question(repaired), repairs


def _text(entry: Entry, index: int, row: dict[str, Any], column: str) -> str:
    text = row.get(column)
    if not isinstance(text, str):
        raise CotDistillError(f"{entry.file_name}: row {index} has no text under {column!r}.")
    if not text.isascii() and _SURROGATE.search(text):
        raise CotDistillError(f"{entry.file_name}: row {index} has half a character (a lone surrogate) in {column!r}.")
    if len(text) > MAX_TEXT:
        raise CotDistillError(
            f"{entry.file_name}: row {index} has {len(text):,} characters under {column!r}, over {MAX_TEXT:,}."
        )
    return text

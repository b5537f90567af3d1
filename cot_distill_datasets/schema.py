"""One schema for every config: the columns of a row, how its `id` is made, and the two ways a row comes into being.

>>> row = cot_row(ConfigName.parse("oracle-l3-arith"), "2 + 2?", [], "4", rationale="2 + 2 = 4.",
...               teacher_answer="4", source="arith#0")
>>> row["completion"]
[{'role': 'assistant', 'content': '2 + 2 = 4.\\nThe answer is 4'}]
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from datasets import Features, List, Value

from .answers import CLOSING, equivalent
from .benchmarks import BENCHMARKS, EvalItem, layout
from .taxonomy import ConfigName


_MESSAGES = List({"role": Value("string"), "content": Value("string")})

# Column → (its type, what it holds).
COLUMNS = {
    "id": (Value("string"), "`{benchmark}-{hash of the normalised question and choices}`"),
    "benchmark": (Value("string"), "`svamp`, `gsm8k`, …"),
    "question": (Value("string"), "the bare question, without its options"),
    "choices": (List(Value("string")), "the options, empty where the question is open"),
    "answer": (Value("string"), "the gold in canonical form: `18`, `C`, `True`, LaTeX"),
    "teacher": (Value("string"), "who wrote the CoT; null in a test split"),
    "granularity": (Value("int32"), "1 (tersest) to 6 (finest), 0 = none"),
    "format": (Value("string"), "`cot`, `l2m`, `rar`, `symbolic`; null in a test split"),
    "rationale": (Value("string"), "the CoT without closing sentences; null without CoT and in a test split"),
    "teacher_answer": (Value("string"), "what the teacher itself concluded, null if nothing"),
    "is_correct": (Value("bool"), "does the teacher's conclusion equal the gold? null without either"),
    "prompt": (_MESSAGES, "the user's turn, as a list of one message"),
    "completion": (_MESSAGES, "the assistant's turn that a student learns; empty in a test split"),
    "gold_in_prompt": (Value("bool"), "was the teacher shown the gold? null if unknown"),
    "prompt_hash": (Value("string"), "of the prompt of generated CoT, else null"),
    "sample": (Value("int32"), "number of the sample of generated CoT, else null"),
    "flags": (List(Value("string")), "what was repaired in the row, and what was found in it"),
    "source": (Value("string"), "where it was read: `data/gsm8k_gemini_level1_ranked.json#123`"),
}
FEATURES = Features({name: type_ for name, (type_, _) in COLUMNS.items()})

Row = dict[str, Any]

_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "`": "'"})


class Read(NamedTuple):
    """The rows of a config, how many its source has, and how many of them can be no row at all, by reason."""

    rows: list[Row]
    rows_in: int
    dropped: dict[str, int]


# Every flag that says what a row is; those that say what was changed in it are `repairs.REPAIRS`.
FINDINGS = {
    "no_gold": "the release has no gold for the question; the teacher's own answer stands in its place",
    "no_conclusion": "the teacher's text states no answer of its own; the gold closes it",
    "no_rationale": "the teacher's text is only its closing sentence",
    "denied": "the teacher's text says that the answer is another than the gold, or takes its answer back",
    "cut_text": "the teacher's text ends in the middle of a formula or sentence",
    "doubtful_gold": "the released gold cannot be read, or its own explanation contradicts it",
    "in_test": "the question is in the benchmark's test split (only the `paper` edition keeps such rows)",
    "stem_in_test": "the question without its options is in a test split; with them it is another question",
}


def question_id(benchmark: str, question: str, choices: list[str]) -> str:
    """Return the id that a question has at every level, format and teacher, in training and in test."""
    return _question_id(benchmark, question, tuple(choices))


@lru_cache(100_000)  # a question comes again at every level
def _question_id(benchmark: str, question: str, choices: tuple[str, ...]) -> str:
    normalised = json.dumps([stem(text) for text in (question, *choices)], ensure_ascii=False)
    return f"{benchmark}-{hashlib.sha256(normalised.encode()).hexdigest()[:16]}"


@lru_cache(100_000)
def stem(question: str) -> str:
    """Return a question as it is compared: NFKC, no case, no spaces (some files lost some), one kind of quotes."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", question)).translate(_QUOTES).casefold()


def completion_text(rationale: str | None, answer: str) -> str:
    """Return what a student learns to write: the rationale, then the closing sentence on a line of its own."""
    closing = f"{CLOSING} {answer}"
    return f"{rationale}\n{closing}" if rationale else closing


def cot_row(
    config: ConfigName,
    question: str,
    choices: list[str],
    answer: str | None,
    *,
    rationale: str | None,
    teacher_answer: str | None,
    source: str,
    flags: Sequence[str] = (),
    own_text: str | None = None,
) -> Row | None:
    """Return one training row, or None where there is neither a gold `answer` nor a `teacher_answer` to close with.

    Without a gold or a conclusion `is_correct` is null; `FINDINGS` says what is flagged. `own_text` is the teacher's
    repaired text, where it is to be the completion as it stands (the `paper` edition).
    """
    findings = {"no_gold": answer is None, "no_conclusion": teacher_answer is None, "no_rationale": rationale == ""}
    closing = answer if answer is not None else teacher_answer
    if closing is None:
        return None
    completion = completion_text(rationale, closing) if own_text is None else own_text
    is_correct = None
    if answer is not None and teacher_answer is not None:
        is_correct = teacher_answer == answer or equivalent(
            teacher_answer, answer, BENCHMARKS[config.benchmark].answer_kind
        )
    return {
        "id": question_id(config.benchmark, question, choices),
        "benchmark": config.benchmark,
        "question": question,
        "choices": choices,
        "answer": closing,
        "teacher": config.teacher,
        "granularity": config.granularity,
        "format": config.format,
        "rationale": rationale,
        "teacher_answer": teacher_answer,
        "is_correct": is_correct,
        "prompt": [{"role": "user", "content": layout(question, choices)}],
        "completion": [{"role": "assistant", "content": completion}],
        "gold_in_prompt": None,
        "prompt_hash": None,
        "sample": None,
        "flags": [*flags, *(name for name, found in findings.items() if found)],
        "source": source,
    }


def eval_row(benchmark: str, item: EvalItem) -> Row:
    """Return one row of a test split: the same columns, nothing of a teacher in them."""
    return dict.fromkeys(FEATURES) | {
        "id": question_id(benchmark, item.question, item.choices),
        "benchmark": benchmark,
        "question": item.question,
        "choices": item.choices,
        "answer": item.answer,
        "granularity": 0,
        "prompt": [{"role": "user", "content": layout(item.question, item.choices)}],
        "completion": [],
        "flags": [],
        "source": item.source,
    }

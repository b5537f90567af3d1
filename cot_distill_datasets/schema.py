"""The one schema of every config: the columns of a row, its id, and where rows come from.

>>> row = cot_row(ConfigName.parse("oracle-l3-arith"), "2 + 2?", [], "4", rationale="2 + 2 = 4.",
...               teacher_answer="4", source="arith#0")
>>> row["completion"]
[{'role': 'assistant', 'content': '2 + 2 = 4.\\nThe answer is 4'}]
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from datasets import Features, List, Value

from .benchmarks import BENCHMARKS, EvalItem, layout
from .grading.answers import CLOSING, equivalent
from .grading.conclusions import Kind
from .names import ConfigName


_MESSAGES = List({"role": Value("string"), "content": Value("string")})

# Column → (type, description on the dataset card).
COLUMNS = {
    "id": (Value("string"), "`{benchmark}-{hash of the normalized question and choices}`"),
    "benchmark": (Value("string"), "`svamp`, `gsm8k`, …"),
    "question": (Value("string"), "the bare question, without its options"),
    "choices": (List(Value("string")), "the options; empty if the question is open"),
    "answer": (Value("string"), "the gold answer in canonical form: `18`, `C`, `True`, LaTeX"),
    "teacher": (Value("string"), "who wrote the CoT; null in a test split"),
    "granularity": (Value("int32"), "1 (tersest) to 6 (finest), 0 = none"),
    "format": (Value("string"), "`cot`, `l2m`, `rar`, `symbolic`; null in a test split"),
    "rationale": (Value("string"), "the CoT without closing sentences; null without CoT and in a test split"),
    "teacher_answer": (Value("string"), "the teacher's own conclusion; null if it has none"),
    "is_correct": (Value("bool"), "whether the teacher's conclusion equals the gold; null if either is missing"),
    "prompt": (_MESSAGES, "the user turn, as a list of one message"),
    "completion": (_MESSAGES, "the assistant turn that a student learns; empty in a test split"),
    "gold_in_prompt": (Value("bool"), "whether the teacher was shown the gold; null if unknown"),
    "prompt_hash": (Value("string"), "hash of the prompt of generated CoT, else null"),
    "sample": (Value("int32"), "sample number of generated CoT, else null"),
    "model": (Value("string"), "the model that was asked for generated CoT, else null"),
    "parameters": (Value("string"), "its sampling parameters, as JSON, else null"),
    "flags": (List(Value("string")), "repairs made to the row, and findings about it"),
    "source": (Value("string"), "where it was read: `data/gsm8k_gemini_level1_ranked.json#123`"),
}
FEATURES = Features({name: type_ for name, (type_, _) in COLUMNS.items()})

# A row in memory has one key more than `FEATURES`: `teacher_text`, the teacher's own repaired text, which is the
# completion in the editions that keep it (`Edition.teachers_own_text`).
Row = dict[str, Any]

_CACHED = 16_384  # questions; the largest benchmark of the paper has 10,000
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "`": "'"})


class Gold(NamedTuple):
    """The gold answer of a question: canonical (None if it cannot be read), as released, and its repairs."""

    answer: str | None
    released: str
    repairs: list[str]


class Generation(NamedTuple):
    """How the CoT of a row was generated: columns of the row, null where it is not known."""

    gold_in_prompt: bool | None = None
    prompt_hash: str | None = None
    sample: int | None = None
    model: str | None = None
    parameters: str | None = None  # JSON


@dataclass
class ConfigRows:
    """The rows of one config, the number of rows in its source, and why the others were dropped (reason → count).

    A source may be too large for memory. Then `rows` is an iterator, and the numbers are complete at its end.
    """

    rows: Iterable[Row]
    rows_in: int
    dropped: dict[str, int]


Golds = Mapping[str, Gold]  # question id → gold
Reader = Callable[[Golds], ConfigRows]  # reads one config and joins its rows to the golds of all sources


@dataclass
class Source:
    """A source of rows: one reader per config, the golds it knows, and what it cannot read.

    A source of the user's own rows may have a benchmark of its own, with a test split that was held out.
    """

    readers: dict[ConfigName, Reader] = field(default_factory=dict)
    golds: dict[str, Gold] = field(default_factory=dict)  # by question id
    missing: dict[str, str] = field(default_factory=dict)  # config → its file, which is listed but not there
    skipped: dict[str, str] = field(default_factory=dict)  # config, or another name of the source → the reason
    prompts: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # of generated CoT, by prompt hash
    own_benchmarks: dict[str, dict[str, str]] = field(default_factory=dict)  # name → fields of `Benchmark`
    splits: dict[str, list[EvalItem]] = field(default_factory=dict)  # of own benchmarks, by name
    origins: dict[str, dict[str, str]] = field(default_factory=dict)  # config of own rows → its `home` and `license`


# Flags that describe a row. Flags that say what was changed in it are `sources.repairs.REPAIRS`.
FINDINGS = {
    "no_gold": "the release has no gold for the question; the teacher's own answer takes its place",
    "no_conclusion": "the teacher's text has no conclusion that can be read",
    "no_rationale": "the teacher's text is only its closing sentence",
    "denied": "the teacher's text rejects the gold, retracts its own answer or states a second one",
    "cut_text": "the teacher's text ends in the middle of a formula or sentence",
    "doubtful_gold": "the released gold cannot be read, or its own explanation contradicts it",
    "in_test": "the question is in the benchmark's test split (only the `paper` edition keeps such rows)",
    "stem_in_test": "the question without its options is in a test split; with them it is a different question",
    "ngram_in_test": "an own benchmark's question shares 13 words in a row with a test question of another benchmark",
    "near_test": "an own benchmark's question nearly equals a test question of another benchmark",
}


def question_id(benchmark: str, question: str, choices: list[str]) -> str:
    """Return the id of a question: the same at every level, format and teacher, in training and in test."""
    return _question_id(benchmark, question, tuple(choices))


@lru_cache(_CACHED)  # every level has the same questions
def _question_id(benchmark: str, question: str, choices: tuple[str, ...]) -> str:
    normalized = json.dumps([normalize_text(text) for text in (question, *choices)], ensure_ascii=False)
    return f"{benchmark}-{hashlib.sha256(normalized.encode()).hexdigest()[:16]}"


@lru_cache(_CACHED)
def normalize_text(question: str) -> str:
    """Return a question in the form that ids compare: NFKC, case-folded, without whitespace, one kind of quotes.

    Whitespace is dropped because some of the paper's files lost some.
    """
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", question)).translate(_QUOTES).casefold()


def completion_text(rationale: str | None, answer: str) -> str:
    """Return the text that a student learns: the rationale, then the closing sentence on its own line."""
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
    kind: Kind | None = None,
    teacher_text: str | None = None,
    generation: Generation | None = None,
) -> Row | None:
    """Return one training row, or None if it has neither a gold `answer` nor a `teacher_answer` to close with.

    `kind` is the answer kind of an own benchmark. `FINDINGS` lists the flags added here.
    """
    findings = {"no_gold": answer is None, "no_conclusion": teacher_answer is None, "no_rationale": rationale == ""}
    closing = answer if answer is not None else teacher_answer
    if closing is None:
        return None
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
        "is_correct": _is_correct(teacher_answer, answer, kind or BENCHMARKS[config.benchmark].answer_kind),
        "prompt": [{"role": "user", "content": layout(question, choices)}],
        "completion": [{"role": "assistant", "content": completion_text(rationale, closing)}],
        **(generation or Generation())._asdict(),
        "flags": [*flags, *(name for name, applies in findings.items() if applies)],
        "source": source,
        "teacher_text": teacher_text,
    }


def _is_correct(teacher_answer: str | None, gold: str | None, kind: Kind) -> bool | None:
    if teacher_answer is None or gold is None:
        return None
    return teacher_answer == gold or equivalent(teacher_answer, gold, kind)


def eval_row(benchmark: str, item: EvalItem) -> Row:
    """Return one row of a test split: the same columns, without a teacher's values."""
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

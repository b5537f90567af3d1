"""Stores of generated CoT as a source of rows: what a teacher answered, one JSON line per answer.

    annotations/qwen3_32b/answers.jsonl    the store of the teacher `qwen3_32b`, which only grows

A key is the hash of a request (model, parameters, messages, sample). The latest line of a key counts. A last line
without its line break was torn by a kill, and does not count.
"""

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import UnionType
from typing import Any, get_origin, get_type_hints

from ..benchmarks import BENCHMARKS
from ..errors import CotDistillError, nearest
from ..files import atomic_write
from ..grading.answers import equivalent
from ..grading.conclusions import Kind
from ..names import TEACHERS, ConfigName
from ..schema import ConfigRows, Generation, Golds, Row, Source, cot_row, question_id
from .manifest import SURROGATE
from .repairs import repair_text
from .responses import concludes_otherwise, read_response, without_thinking_tags
from .test_splits import no_test_split


ANSWERS = "answers.jsonl"  # the file of a store
PROMPTS = "prompts"  # the folder of a store with its prompts
KEPT = "kept"
# What `reason` says of an answer.
REASONS = {
    KEPT: "complete, and its conclusion is the gold",
    "wrong": "its conclusion is not the gold, or it states a second one",
    "truncated": "the token limit cut it off (`finish_reason: length`)",
    "empty": "no text, or no reasoning before its conclusion",
    "refused": "the model or its provider refused",
    "unreadable": "no conclusion can be read",
}
# Why the dataset card says that an answer was dropped, if no other source drops a row for that reason.
DROPPED = {
    "truncated": "the token limit cut off the teacher's text",
    "refused": "the teacher or its provider refused to answer",
    "other_sample": "another sample of the question is kept",
}
_DROPPED_AS = {"wrong": "contradicting", "unreadable": "no_conclusion"}  # the names of `release.folder.DROPPED`
# What each format looks like. Of GPT-4o's 699 texts on SVAMP at level 3 in the paper's release, 99% of least-to-most
# have two questions (plain CoT: 0%), and 99.9% of symbolic CoT two symbols or definitions (plain CoT: 3%). Our prompt
# asks for the words that open a rephrased question.
_SYMBOL = r"(?:[∃∀∴∵⇒→∧∨¬≡≠≤≥∈]|(?<![\w.$])[A-Za-z](?:\w{0,2}|\w*_\w+)(?:\(\w+\))? ?:?= )"
_SHAPES = {
    "cot": re.compile(""),
    "l2m": re.compile(r"(?s)(?:\?(?=\s|$).*){2}"),
    "rar": re.compile(r"(?i)\A\W*in other words\b"),
    "symbolic": re.compile(rf"(?s)(?:{_SYMBOL}.*?){{2}}"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher answered to one request: a line of a store. `seconds` is how long the request took."""

    key: str
    config: str
    id: str  # of the question
    question: str
    choices: list[str]
    gold: str
    gold_in_prompt: bool
    prompt_hash: str
    sample: int
    model: str
    parameters: dict[str, Any]
    text: str
    finish_reason: str | None
    refusal: str | None
    prompt_tokens: int | None  # null: the server did not count them
    output_tokens: int | None
    seconds: float | int

    def line(self) -> str:
        """Return the line of a store, with its line break. It is ASCII: a model may write a lone surrogate."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def read_answers(store: Path) -> Iterator[Answer]:
    """Yield the answers of a store in the order of its lines, also those that a later line replaces.

    Raises CotDistillError, which names the line, if one is not an answer.
    """
    return (answer for _, answer in _read_lines(store))


def _read_lines(store: Path) -> Iterator[tuple[int, Answer]]:
    """Yield the position of each line in bytes, and its answer."""
    path, position = store / ANSWERS, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                try:
                    yield position, _parse(line)
                except (ValueError, TypeError, RecursionError) as error:
                    raise CotDistillError(
                        f"{path}: line {number} is not an answer ({error}): remove it, and its request is sent again."
                    ) from error
            position += len(line)


def _parse(line: bytes) -> Answer:
    record = json.loads(line)
    answer = Answer(**record)
    _require_types(tuple(record), tuple(map(type, record.values())))
    if not all(isinstance(choice, str) for choice in answer.choices):
        raise TypeError("an option is not a text")
    return answer


@cache  # most lines have the same types
def _require_types(names: tuple[str, ...], types: tuple[type, ...]) -> None:
    hints = get_type_hints(Answer)
    for name, type_ in zip(names, types):
        expected = hints[name] if isinstance(hints[name], UnionType) else get_origin(hints[name]) or hints[name]
        if not issubclass(type_, expected):
            raise TypeError(f"`{name}` is of the type {type_.__name__}")


def latest_positions(store: Path) -> dict[str, dict[str, int]]:
    """Return, by config and key, the position in bytes of each line that counts. Raises as `read_answers` does."""
    positions: dict[str, dict[str, int]] = defaultdict(dict)
    for position, answer in _read_lines(store):
        positions[answer.config][answer.key] = position
    return positions


def load_answers(store: Path, positions: dict[str, int]) -> Iterator[Answer]:
    """Yield the answers at the positions of one config, in the order of the file."""
    with (store / ANSWERS).open("rb") as file:
        for position in sorted(positions.values()):
            file.seek(position)
            yield Answer(**json.loads(file.readline()))


def write_prompt(store: Path, prompt_hash: str, template: list[dict[str, str]]) -> None:
    """Keep a prompt beside the answers to it, for the dataset card: the prompt files may change later."""
    path = store / PROMPTS / f"{prompt_hash}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(template, indent=1, ensure_ascii=False) + "\n")


def has_shape(format: str, text: str) -> bool:
    """Whether a text looks like its format: sub-questions, a rephrased question, symbols; plain CoT may be any.

    What stands before `</think>` does not count.
    """
    return _SHAPES[format].search(text.rpartition("</think>")[2]) is not None


def reason(answer: Answer) -> str:
    """Return why an answer is kept or not: one of `REASONS`. The default edition keeps exactly what is `kept`."""
    return judge(answer, answer.gold)[0]


def judge(answer: Answer, gold: str) -> tuple[str, dict[str, Any]]:
    """Return the reason, and the values of `cot_row` that come from the text (none if there is no usable text)."""
    if answer.refusal or answer.finish_reason == "content_filter":
        return "refused", {}
    if answer.finish_reason == "length":
        return "truncated", {}
    if SURROGATE.search(answer.text):  # UTF-8 cannot encode it
        return "unreadable", {}
    kind = _answer_kind(answer.config)
    text, repairs = repair_text(answer.text)
    rationale, stated, flags = read_response(text, gold, kind, answer.choices)
    values = {
        "rationale": rationale,
        "teacher_answer": stated,
        "teacher_text": without_thinking_tags(text),
        "flags": list(dict.fromkeys([*repairs, *flags])),
    }
    if not rationale:
        return "empty", values
    if stated is None:
        return "unreadable", values
    if not equivalent(stated, gold, kind) or concludes_otherwise(rationale, stated, kind, answer.choices):
        return "wrong", values
    return KEPT, values


@cache
def _answer_kind(config: str) -> Kind:
    benchmark = ConfigName.parse(config).benchmark
    if benchmark not in BENCHMARKS:
        raise CotDistillError(f"Unknown benchmark {benchmark!r} in a store: use {nearest(benchmark, BENCHMARKS)}.")
    return BENCHMARKS[benchmark].answer_kind


def source(folder: Path, benchmarks: Collection[str]) -> Source:
    """Return a reader for each config in the stores below `folder`, and the prompts that the stores keep.

    A store that cannot be read is skipped, and so are the configs of other benchmarks than `benchmarks` (those with a
    test split) and of another teacher than the store's name. Raises CotDistillError if `folder` has no store.
    """
    result = Source()
    stores = sorted(path.parent for path in folder.glob(f"*/{ANSWERS}"))
    if not stores:
        raise CotDistillError(f"{folder} has no store: pass the folder that holds `TEACHER/{ANSWERS}`.")
    for store in stores:
        try:
            positions = latest_positions(store)
            result.prompts |= read_prompts(store)
        except (CotDistillError, OSError) as error:
            result.skipped[store.name] = str(error)
            continue
        for name, places in sorted(positions.items()):
            try:
                config = _config(name, store, benchmarks)
                result.readers[config] = partial(_read_rows, store, config, places)
            except CotDistillError as error:
                result.skipped[name] = str(error)
    return result


def read_prompts(store: Path) -> dict[str, list[dict[str, str]]]:
    """Return the prompts of a store by hash. Raises CotDistillError if one cannot be read."""
    prompts = {}
    for path in sorted((store / PROMPTS).glob("*.json")):
        try:
            prompts[path.stem] = [
                {"role": str(turn["role"]), "content": str(turn["content"])}
                for turn in json.loads(path.read_text(encoding="utf-8"))
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise CotDistillError(f"{path} is not a prompt ({error!r}): remove it.") from error
    return prompts


def _config(name: str, store: Path, benchmarks: Collection[str]) -> ConfigName:
    config = ConfigName.parse(name)
    if config.teacher in TEACHERS:
        raise CotDistillError(f"the teacher `{config.teacher}` has a source of its own: give the store another name.")
    if config.teacher != store.name:
        raise CotDistillError(f"its store is the folder `{store.name}`: rename that to `{config.teacher}`.")
    if config.benchmark not in benchmarks:
        raise CotDistillError(no_test_split(config.benchmark))
    return config


def _read_rows(store: Path, config: ConfigName, positions: dict[str, int], golds: Golds) -> ConfigRows:
    """Return one row for each question with a kept answer: of the lowest sample, and of equals the latest.

    The rows are in the order of their ids, because answers arrive in any order.
    """
    kept: dict[str, tuple[int, Row]] = {}
    dropped = Counter[str]()
    for answer in load_answers(store, positions):
        id_ = question_id(config.benchmark, answer.question, answer.choices)
        known = golds.get(id_)
        gold = known.answer if known and known.answer else answer.gold
        why, values = judge(answer, gold)
        if why != KEPT:
            dropped[_DROPPED_AS.get(why, why)] += 1
            continue
        dropped["other_sample"] += id_ in kept
        if id_ not in kept or answer.sample <= kept[id_][0]:
            facts = answer.gold_in_prompt, answer.prompt_hash, answer.sample, answer.model
            row = cot_row(
                config, answer.question, answer.choices, gold, source=f"{store.name}/{ANSWERS}#{answer.key[:16]}",
                generation=Generation(*facts, json.dumps(answer.parameters, sort_keys=True)), **values,
            )  # fmt: skip
            assert row is not None  # it has a gold
            kept[id_] = answer.sample, row
    return ConfigRows([kept[id_][1] for id_ in sorted(kept)], len(positions), dict(sorted((+dropped).items())))

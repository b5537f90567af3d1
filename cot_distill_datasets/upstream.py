"""The paper's released files (github.com/EIT-NLP/Distilling-CoT-Reasoning, `data/`) as typed rows.

What to read comes from the release's own manifest, `data/dataset_info.json`, whose names are read by rule:

>>> str(config_of("svamp_gemma_bsm")), str(config_of("auqa_ChatGPT_level1")), str(config_of("GSM8k_only_ans"))
('gpt4o-l5-l2m-svamp', 'gpt4o-l1-aqua', 'answer-gsm8k')
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from .benchmarks import BENCHMARKS
from .questions import parse_question
from .repairs import repair_gold, repair_text
from .responses import read_response
from .schema import Read, Row, cot_row, question_id
from .taxonomy import ConfigName, CotDistillError


MANIFEST = "dataset_info.json"
MAX_TEXT = 100_000  # characters of one field; the longest of the release has some 12,000

_OTHER_RESPONSE = "_output"  # `chatgpt_output` in a file whose column is `gemini_output`
_REPOSITORY = re.compile(r"(?:https|ssh|file)://")  # no `ext::`, which runs a command

# Words of the manifest's names → ours. The first that occurs counts.
_BENCHMARK_WORDS = {
    "svamp": "svamp", "gsm8k": "gsm8k", "aqua": "aqua", "auqa": "aqua", "math": "math",
    "cqa": "csqa", "csqa": "csqa", "obqa": "obqa", "stqa": "strategyqa",
}  # fmt: skip
_TEACHER_WORDS = {
    "llama": "llama70b", "gemini": "gemini", "chatgpt": "gpt4o",
    "human": "human", "only_ans": "answer", "onlyans": "answer",
}  # fmt: skip
_FORMAT_WORDS = {"bsm": "l2m", "rar": "rar", "sym": "symbolic"}
# Formats were made at the level that suits a family of students (paper section 4, `gsm8k_gemma_sym` and the like).
_LEVEL_OF_STUDENT = {"gemma": 5, "bloom": 3}


@dataclass(frozen=True)
class Entry:
    """One entry of the manifest: which config it is, which file holds it, and in which two columns."""

    config: ConfigName
    file_name: str
    question_column: str
    response_column: str


def config_of(manifest_name: str) -> ConfigName:
    """Return the config that a name of the manifest stands for.

    Raises:
        CotDistillError: the name has no known benchmark, or no teacher or level.
    """
    name = manifest_name.lower()
    benchmark = _first(_BENCHMARK_WORDS, name)
    format_ = _first(_FORMAT_WORDS, name) or "cot"
    teacher = _first(_TEACHER_WORDS, name) or ("gpt4o" if format_ != "cot" else None)  # formats are GPT-4o's only
    if benchmark is None or teacher is None:
        raise CotDistillError(f"The manifest's name {manifest_name!r} tells no benchmark or no teacher.")
    level = re.search(r"level(\d)", name)
    granularity = int(level[1]) if level else _first(_LEVEL_OF_STUDENT, name) or 0
    return ConfigName(teacher, granularity, format_, benchmark)


def _first(words: dict[str, Any], name: str) -> Any:
    return next((meaning for word, meaning in words.items() if word in name), None)


@contextmanager
def checkout(source: str) -> Iterator[Path]:
    """Yield the folder of the release: `source` itself, or a clone for as long as the block lasts, where it is a URL.

    Raises:
        CotDistillError: git cannot clone it.
    """
    if not _REPOSITORY.match(source):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="cot-distill-upstream-") as folder:
        clone = ["git", "-c", "credential.helper=", "clone", "--quiet", "--depth", "1", "--", source, folder]
        try:
            subprocess.run(
                clone, check=True, capture_output=True, text=True, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}
            )
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            raise CotDistillError(f"git cannot clone {source}: {' '.join(said)}") from error
        yield Path(folder)


def data_folder(upstream: Path) -> Path:
    """Return the folder that holds the manifest: `upstream` itself or its `data/`.

    Raises:
        CotDistillError: there is no manifest in either.
    """
    for folder in (upstream, upstream / "data"):
        if (folder / MANIFEST).is_file():
            return folder
    raise CotDistillError(
        f"There is no {MANIFEST} in {upstream} or in its data/: give a checkout of the paper's release."
    )


def read_manifest(data: Path) -> list[Entry]:
    """Return the manifest's entries, sorted by config.

    Raises:
        CotDistillError: the manifest is not what the release has, or two entries are the same config.
    """
    try:
        manifest = json.loads((data / MANIFEST).read_bytes())
        entries = [_entry(name, described) for name, described in manifest.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CotDistillError(f"The manifest {data / MANIFEST} cannot be read: {error}.") from error
    if len({entry.config for entry in entries}) < len(entries):
        raise CotDistillError(f"The manifest {data / MANIFEST} has two entries for one config.")
    return sorted(entries, key=lambda entry: entry.config)


def _entry(name: str, described: Any) -> Entry:
    texts = (described["file_name"], described["columns"]["prompt"], described["columns"]["response"])
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} has something else than a text as its file or its columns")
    return Entry(config_of(name), *texts)


def file_of(entry: Entry, data: Path) -> Path:
    """Return where the entry's file lies.

    Raises:
        CotDistillError: the manifest points outside its own folder.
    """
    path = (data / entry.file_name).resolve()
    if not path.is_relative_to(data.resolve()):
        raise CotDistillError(f"{entry.file_name}: the manifest points outside {data}.")
    return path


class Gold(NamedTuple):
    """The canonical gold answer of a question, and the repairs that it needed."""

    answer: str
    repairs: list[str]


def read_golds(entry: Entry, data: Path) -> dict[str, Gold]:
    """Return the gold answers of a benchmark by question id, from its answer-only file; a row without one gives none.

    Raises:
        CotDistillError: the file cannot be read, or a row has no question or no response; the text names it.
    """
    kind = BENCHMARKS[entry.config.benchmark].answer_kind
    golds = {}
    for index, row in enumerate(_read_json(entry, data)):
        question, choices, _ = _question(entry, index, row)
        answer, repairs = repair_gold(_text(entry, index, row, entry.response_column), kind, row.get("solution"))
        if answer is not None:
            golds[question_id(entry.config.benchmark, question, choices)] = Gold(answer, repairs)
    return golds


def read_rows(entry: Entry, data: Path, golds: dict[str, Gold], *, own_text: bool = False) -> Read:
    """Return the entry's rows, each joined to its gold by id; `own_text` makes the teacher's text the completion.

    Raises:
        CotDistillError: the file cannot be read, or a row has no question or no response; the text names it.
    """
    loaded = _read_json(entry, data)
    rows, dropped = [], {"other_teacher": 0, "no_answer": 0}
    for index, row in enumerate(loaded):
        if entry.response_column not in row and any(key.endswith(_OTHER_RESPONSE) for key in row):
            dropped["other_teacher"] += 1  # keyed under another teacher's output: not this one's
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
    return cot_row(
        config, question, choices, answer,
        rationale=rationale, teacher_answer=concluded,
        source=f"data/{entry.file_name}#{index}",
        flags=list(dict.fromkeys([*repairs, *text_repairs, *found])),
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
    if not text.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise CotDistillError(f"{entry.file_name}: row {index} has half a character (a lone surrogate) in {column!r}.")
    if len(text) > MAX_TEXT:
        raise CotDistillError(
            f"{entry.file_name}: row {index} has {len(text):,} characters under {column!r}, over {MAX_TEXT:,}."
        )
    return text

"""The paper's released files (github.com/EIT-NLP/Distilling-CoT-Reasoning, `data/`) as typed rows.

What to read comes from the release's own manifest, `data/dataset_info.json`, whose names are read by rule:

>>> str(config_of("svamp_gemma_bsm")), str(config_of("auqa_ChatGPT_level1")), str(config_of("GSM8k_only_ans"))
('gpt4o-l5-l2m-svamp', 'gpt4o-l1-aqua', 'answer-gsm8k')
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .answers import equivalent, extract, normalise, without_closing
from .benchmarks import BENCHMARKS
from .schema import Row, cot_row, question_id
from .taxonomy import ConfigName, CotDistillError


MANIFEST = "dataset_info.json"

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
        entries = [
            Entry(config_of(name), entry["file_name"], entry["columns"]["prompt"], entry["columns"]["response"])
            for name, entry in manifest.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CotDistillError(f"The manifest {data / MANIFEST} cannot be read: {error}.") from error
    if len({entry.config for entry in entries}) < len(entries):
        raise CotDistillError(f"The manifest {data / MANIFEST} has two entries for one config.")
    return sorted(entries, key=lambda entry: entry.config)


def file_of(entry: Entry, data: Path) -> Path:
    """Return where the entry's file lies.

    Raises:
        CotDistillError: the manifest points outside its own folder.
    """
    path = (data / entry.file_name).resolve()
    if not path.is_relative_to(data.resolve()):
        raise CotDistillError(f"{entry.file_name}: the manifest points outside {data}.")
    return path


def read_golds(entry: Entry, data: Path) -> dict[str, str]:
    """Return the gold answers of a benchmark by question id, from its answer-only file."""
    kind = BENCHMARKS[entry.config.benchmark].answer_kind
    golds = {}
    for index, (question, response) in enumerate(_pairs(entry, data)):
        if (answer := normalise(response, kind)) is None:
            raise CotDistillError(f"{entry.file_name}: row {index} has no {kind} as its gold: {response[:40]!r}.")
        golds[question_id(entry.config.benchmark, question, [])] = answer
    return golds


def read_rows(entry: Entry, data: Path, golds: dict[str, str]) -> list[Row]:
    """Return the entry's rows, each joined to its gold by id.

    Raises:
        CotDistillError: the file cannot be read, or a row has no question or no response; the text names it.
    """
    rows = []
    for index, (question, response) in enumerate(_pairs(entry, data)):
        gold = golds.get(question_id(entry.config.benchmark, question, []))
        rationale, teacher_answer, flags = _read_response(entry.config, response, gold)
        row = cot_row(
            entry.config, question, [], gold,
            rationale=rationale, teacher_answer=teacher_answer, flags=flags, source=f"data/{entry.file_name}#{index}",
        )  # fmt: skip
        if row is not None:
            rows.append(row)
    return rows


def _pairs(entry: Entry, data: Path) -> list[tuple[str, str]]:
    """Return (question, response) of every row."""
    try:
        loaded = json.loads(file_of(entry, data).read_bytes())
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
        raise CotDistillError(f"{entry.file_name}: cannot be read: {error}.") from error
    if not isinstance(loaded, list):
        raise CotDistillError(f"{entry.file_name}: holds no list of rows.")
    return [_pair(entry, index, row) for index, row in enumerate(loaded)]


def _pair(entry: Entry, index: int, row: Any) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise CotDistillError(f"{entry.file_name}: row {index} is no object.")
    for column in (entry.question_column, entry.response_column):
        if not isinstance(row.get(column), str):
            raise CotDistillError(f"{entry.file_name}: row {index} has no text under {column!r}.")
    return row[entry.question_column].strip(), row[entry.response_column].strip()


def _read_response(
    config: ConfigName, response: str, gold: str | None
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return (rationale, the teacher's own answer, flags).

    Teachers were shown the gold, and some closed with it behind a conclusion of their own: "The answer is 412. The
    answer is 322". Then the first is the teacher's answer.
    """
    kind = BENCHMARKS[config.benchmark].answer_kind
    if config.teacher == "answer":
        return None, normalise(response, kind), ()
    rationale, flags = without_closing(response), tuple[str, ...]()
    concluded = extract(response, kind, strict=True)
    own = extract(rationale, kind, strict=True)
    if concluded and gold and equivalent(concluded, gold, kind) and own and not equivalent(own, gold, kind):
        concluded, flags = own, ("gold_appended",)
    while rationale != (shorter := without_closing(rationale)):  # doubled closing sentences
        rationale = shorter
    return rationale, concluded, flags

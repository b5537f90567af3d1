"""The test splits, from where they are at hand: `--benchmarks`, the paper's release, else the canonical Hub datasets.

Which benchmark has which sources is in `benchmarks.py`; here each source's layout becomes an `EvalItem`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset

from . import arith
from .answers import Kind, normalise
from .benchmarks import MATH500, TEST_SPLITS, EvalItem
from .latex import last_boxed
from .questions import parse_question
from .repairs import repair_text
from .taxonomy import CotDistillError


_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what a row of another layout raises
# `type` of the MATH files; the paper takes four of the seven subjects.
_MATH_TYPES = {"Prealgebra", "Algebra", "Counting & Probability", "Number Theory"}


def read_test_splits(
    names: Iterable[str], benchmarks: Path | None, upstream: Path | None, *, hub: bool
) -> dict[str, list[EvalItem]]:
    """Return the test split of each of `names` that can be had, in their order; `hub` allows the last resort.

    Raises:
        CotDistillError: a file that is there is not what its benchmark's release holds.
    """
    found: dict[str, list[EvalItem]] = {}
    for name in names:
        items = arith.eval_items() if name == "arith" else _from_file(name, benchmarks, upstream)
        if items is None and hub:
            try:
                items = _from_hub(name)
            except ConnectionError:  # then no other split can be had from there either
                hub = False
        if items:
            found[name] = items
    return found


def _from_file(name: str, benchmarks: Path | None, upstream: Path | None) -> list[EvalItem] | None:
    split = TEST_SPLITS[name]
    for folder, relative in ((benchmarks, split.test_file), (upstream, split.upstream_test)):
        if folder and relative and (path := folder / relative).is_file():
            try:
                return list(_items(name, _read(path), relative))
            except (OSError, *_MALFORMED) as error:
                raise CotDistillError(f"The test file {path} cannot be read as {name}: {error!r}.") from error
    return None


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else map(json.loads, text.splitlines())


def _from_hub(name: str) -> list[EvalItem] | None:
    """Return the split from its canonical Hub datasets, or None where the Hub does not have them.

    Raises:
        ConnectionError: the Hub cannot be reached.
    """
    items: list[EvalItem] = []
    for repo, config, split in TEST_SPLITS[name].hub:
        try:
            rows = load_dataset(repo, config, split=split)
        except ConnectionError:
            raise
        except OSError:  # it has no such dataset, or does not show it to us
            return None
        try:
            items += _items(name, rows, "/".join(filter(None, (repo, config, split))))
        except _MALFORMED as error:
            raise CotDistillError(f"The Hub's {repo} cannot be read as {name}: {error!r}.") from error
    return items or None


def _items(name: str, rows: Iterable[dict[str, Any]], source: str) -> Iterator[EvalItem]:
    """Return the items; a row that is not of the paper's subset gives none."""
    kind: Kind = TEST_SPLITS[name].answer_kind
    for index, row in enumerate(rows):
        if name == "math" and row["type"] not in _MATH_TYPES:
            continue
        question, choices, gold = _READERS[name](row)
        if (answer := normalise(gold, kind)) is None:
            raise ValueError(f"row {index} has no {kind} as its gold: {gold!r}")
        yield EvalItem(question.strip(), choices, answer, f"{source}#{index}")


_Read = tuple[str, list[str], str]


def _svamp(row: dict[str, Any]) -> _Read:
    # The paper's training files join the two with one space: so do all 700 of them.
    return f"{row['Body'].strip()} {row['Question'].strip()}", [], str(row["Answer"])


def _gsm8k(row: dict[str, Any]) -> _Read:
    return row["question"], [], row["answer"].rpartition("####")[2]


def _aqua(row: dict[str, Any]) -> _Read:
    return row["question"], [option.partition(")")[2].strip() for option in row["options"]], row["correct"]


def _math(row: dict[str, Any]) -> _Read:
    gold = row.get("answer") or last_boxed(row["solution"])
    if gold is None:
        raise ValueError(f"no boxed answer in the solution of {row['problem'][:60]!r}")
    return row["problem"], [], gold


def _labelled(row: dict[str, Any]) -> _Read:
    """The paper's own test files, else the layout of the Hub's CommonsenseQA and OpenBookQA."""
    if "instruction" in row:
        return *parse_question(repair_text(row["instruction"])[0]), row["label"]
    return row.get("question_stem") or row["question"], list(row["choices"]["text"]), row["answerKey"]


_READERS = {
    "svamp": _svamp, "gsm8k": _gsm8k, "aqua": _aqua, "math": _math, MATH500: _math,
    "csqa": _labelled, "obqa": _labelled, "strategyqa": _labelled,
}  # fmt: skip

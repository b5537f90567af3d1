"""The test splits, from the first place that has them: `--benchmarks`, the paper's release, or the Hub.

`benchmarks.py` lists the files and canonical Hub datasets of each benchmark. Here each layout becomes an `EvalItem`.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset

from ..benchmarks import TEST_SPLITS, EvalItem
from ..errors import CotDistillError
from ..grading.answers import normalize
from ..grading.formulas import last_boxed
from ..hub import limit_waits
from ..messages import message
from ..names import eval_config
from . import arith
from .questions import parse_question
from .records import load_records
from .repairs import repair_text


_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)  # raised by a row with a different layout
_LABEL = re.compile(r"\s*\(?[A-J]\)")  # of an option of AQuA
# `type` of the MATH files; the paper uses four of the seven subjects.
_MATH_TYPES = {"Prealgebra", "Algebra", "Counting & Probability", "Number Theory"}


def read_test_splits(
    names: Iterable[str], benchmarks: Path | None, upstream: Path | None, *, hub: bool
) -> tuple[dict[str, list[EvalItem]], dict[str, str]]:
    """Return the test splits among `names` that are available, in their order; `hub` allows a download.

    The second value has the reason for each split that cannot be read, by the name of its config.
    """
    splits: dict[str, list[EvalItem]] = {}
    unreadable: dict[str, str] = {}
    for name in names:
        try:
            is_embedded = TEST_SPLITS[name].embedded
            items = embedded_split(name) if is_embedded else _from_file(name, benchmarks, upstream)
            if items is None and hub:
                items = _from_hub(name)
        except ConnectionError:  # no other split can be downloaded either
            hub = False
        except CotDistillError as error:
            unreadable[eval_config(name)] = str(error)
        else:
            if items:
                splits[name] = items
    return splits, unreadable


def no_test_split(benchmark: str) -> str:
    """Return why the configs of a benchmark without a test split are skipped."""
    reason = f"no test split of {benchmark} is available"
    return f"{reason}: pass --benchmarks, or pass --unchecked to keep rows that may leak."


def embedded_split(name: str, count: int | None = None) -> list[EvalItem]:
    """Return the test split of an embedded benchmark, which is generated, or `count` test questions."""
    return {"arith": arith.eval_items}[name](count)


def _from_file(name: str, benchmarks: Path | None, upstream: Path | None) -> list[EvalItem] | None:
    split = TEST_SPLITS[name]
    for folder, relative in ((benchmarks, split.test_file), (upstream, split.upstream_test)):
        if folder and relative and (path := folder / relative).is_file():
            return list(_items(name, load_records(path, relative), relative))
    return None


def _from_hub(name: str) -> list[EvalItem] | None:
    """Return the split from the Hub, or None if it is not there. Raises ConnectionError if the Hub is unreachable."""
    limit_waits()
    items: list[EvalItem] = []
    for repo, config, split in TEST_SPLITS[name].hub:
        message(f"Loading {repo} from the Hub.")
        try:
            rows = load_dataset(repo, config, split=split)
        except ConnectionError:
            raise
        except OSError:  # no such dataset, or the token cannot see it
            return None
        items += _items(name, rows, "/".join(filter(None, (repo, config, split))))
    return items or None


def _items(name: str, rows: Iterable[dict[str, Any]], source: str) -> Iterator[EvalItem]:
    """Yield the items; rows of MATH that are not in the paper's subjects are skipped.

    Raises CotDistillError, which names the row, if one does not have the layout of the split.
    """
    for index, row in enumerate(rows):
        try:
            if name == "math" and row["type"] not in _MATH_TYPES:
                continue
            yield _item(name, row, f"{source}#{index}")
        except _MALFORMED as error:
            raise CotDistillError(f"{source}: row {index} is not a test question of {name}: {error!r}.") from error


def _item(name: str, row: dict[str, Any], place: str) -> EvalItem:
    question, choices, gold = _question(name, row)
    kind = TEST_SPLITS[name].answer_kind
    if not isinstance(gold, str | int | float) or (answer := normalize(str(gold), kind)) is None:
        raise ValueError(f"the gold is not a {kind}: {gold!r}")
    "".join([question, *choices, answer]).encode()  # a lone surrogate is a ValueError
    return EvalItem(question.strip(), choices, answer, place)


def _question(name: str, row: dict[str, Any]) -> tuple[str, list[str], Any]:
    """Return (question, choices, gold) of a row in the layout of its split."""
    if name == "svamp":  # joined by one space, as all 700 of the paper's training questions are
        return f"{row['Body'].strip()} {row['Question'].strip()}", [], row["Answer"]
    if name == "gsm8k":
        return row["question"], [], str(row["answer"]).rpartition("####")[2]
    if name == "aqua":
        return row["question"], [_LABEL.sub("", option).strip() for option in row["options"]], row["correct"]
    if name in ("math", "math500"):
        if (gold := row.get("answer") or last_boxed(row["solution"])) is None:
            raise ValueError(f"no boxed answer in the solution of {row['problem'][:60]!r}")
        return row["problem"], [], gold
    if "instruction" in row:  # the paper's own test files
        return *parse_question(repair_text(row["instruction"])[0]), row["label"]
    # The Hub's layout of CommonsenseQA and OpenBookQA.
    return row.get("question_stem") or row["question"], list(row["choices"]["text"]), row["answerKey"]

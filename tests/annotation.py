"""How the tests run `cot-distill annotate`, and what it has written."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from teacher_server import MODEL

from cot_distill_datasets.cli import main
from cot_distill_datasets.sources import generated
from cot_distill_datasets.sources.generated import Answer, judge, read_answers, reason
from cot_distill_datasets.teachers import verify


STORE = Path("annotations/replay")


def arguments(url: str, *more: str) -> list[str]:
    """Return the arguments of a run that asks every question of `arith` at two levels."""
    words = ["--teacher", "replay", "--model", MODEL, "--base-url", url, "--benchmark", "arith"]
    return ["annotate", *words, "--granularity", "l1", "l3", *more]


def run(url: str, *more: str) -> int:
    """Run the command in this process, and return its exit code."""
    return main(arguments(url, *more))


def lines(store: Path = STORE) -> list[dict[str, Any]]:
    """Return the lines of a store; none if there is no store."""
    if not store.exists():
        return []
    return [json.loads(line) for line in (store / "answers.jsonl").read_text().splitlines()]


def reasons(store: Path = STORE) -> Counter[str]:
    """Return the number of the answers of a store for each reason."""
    return Counter(map(reason, read_answers(store)))


def keys(store: Path = STORE) -> list[str]:
    """Return the keys of a store, in the order of its lines."""
    return [line["key"] for line in lines(store)]


def count_judgments(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a counter of how often each answer is judged from now on, by its key."""
    counts = Counter[str]()

    def count(answer: Answer, gold: str) -> tuple[str, dict[str, Any]]:
        counts[answer.key] += 1
        return judge(answer, gold)

    for module in (generated, verify):
        monkeypatch.setattr(module, "judge", count)
    return counts

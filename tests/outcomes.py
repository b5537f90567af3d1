"""Outcomes of studies whose answers are known."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from cot_distill_datasets.evaluation.statistics import Answers


def first_correct(*correct: int, questions: int = 100) -> Answers:
    """Return the answers of an arm that has one seed for each number of `correct` questions: the first ones."""
    return (np.arange(questions) < np.reshape(correct, (-1, 1))).astype(float)


def answer_rows(answers: Iterable[float], **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a record. Every wrong answer is `no_answer`, and has 2 more output tokens."""
    return [
        {
            "id": f"q{number:04}",
            "correct": bool(correct),
            "flexible_correct": bool(correct),
            "no_answer": not correct,
            "truncated": False,
            "output_tokens": 10 if correct else 12,
        }
        | values
        for number, correct in enumerate(answers)
    ]


def outcome_table(arms: Mapping[str, Answers], place: Mapping[str, str] | None = None, **axes: str) -> pa.Table:
    """Return the outcomes of a student on `cot_arith`, as `records.outcomes` does.

    The keys of `arms` are configs; those of the untrained base end in its number of exemplars: `untrained-4`.
    """
    rows = []
    for name, answers in arms.items():
        config, _, shots = name.partition("-") if name.startswith("untrained") else (name, "", "0")
        for seed, correct in enumerate(answers, start=int(config != "untrained")):
            facts = {"key": "k", "student": "demo", "config": config, "benchmark": "arith", "seed": seed}
            facts |= {"shots": int(shots), "task": "cot_arith"} | (place or {})
            facts |= {axis: value if config != "untrained" else "" for axis, value in axes.items()}
            rows += [facts | row for row in answer_rows(correct)]
    return pa.Table.from_pylist(rows)

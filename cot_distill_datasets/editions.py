"""The editions: which of the rows that were read stand in a release.

| edition | rows |
|---|---|
| `clean` | repaired, no test question, no row whose teacher contradicts the gold, no row with a flag of `UNFIT` |
| `paper` | as the paper trained: all rows, the teacher's own repaired text as completion |
| `aligned` | `clean`, and only questions that all levels and formats of a teacher and benchmark have, in one order |
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from .benchmarks import EvalItem, benchmark_of
from .schema import Row, question_id, stem


# Flags of rows that nobody should learn from.
UNFIT = ("denied", "doubtful_gold", "cut_text", "no_rationale")


class EvalQuestions(NamedTuple):
    """The questions of all test splits: their ids, by which a row leaks, and their stems, which are only flagged."""

    ids: frozenset[str]
    stems: frozenset[str]


def eval_questions(splits: dict[str, list[EvalItem]]) -> EvalQuestions:
    """Return the questions of `splits`."""
    items = [(benchmark_of(name), item) for name, split in splits.items() for item in split]
    return EvalQuestions(
        frozenset(question_id(benchmark, item.question, item.choices) for benchmark, item in items),
        frozenset(stem(item.question) for _, item in items),
    )


def select(
    rows: list[Row], edition: str, tests: EvalQuestions, shared: frozenset[str] | None = None
) -> tuple[list[Row], dict[str, int]]:
    """Return the rows of `edition`, flagged where they touch a test split, and how many were dropped, by reason.

    `shared` are the ids that an `aligned` config keeps.
    """
    for row in rows:
        if row["id"] in tests.ids:
            row["flags"].append("in_test")
        elif stem(row["question"]) in tests.stems:
            row["flags"].append("stem_in_test")
    if edition == "paper":
        return rows, {}
    safe = [row for row in rows if row["id"] not in tests.ids]
    kept, dropped = [], Counter(leaked=len(rows) - len(safe))
    for row in safe:
        unfit = next((flag for flag in row["flags"] if flag in UNFIT), None)
        reason = "contradicting" if row["is_correct"] is False else unfit
        if reason is None:
            kept.append(row)
        else:
            dropped[reason] += 1
    if shared is not None:
        first = {row["id"]: row for row in reversed(kept) if row["id"] in shared}  # of a repeated question the first
        dropped["unaligned"] = len(kept) - len(first)
        kept = [first[id_] for id_ in sorted(first)]
    return kept, {reason: count for reason, count in dropped.items() if count}


def clean_ids(rows: list[Row], tests: EvalQuestions) -> frozenset[str]:
    """Return the ids of a config's clean rows."""
    return frozenset(row["id"] for row in select(rows, "clean", tests)[0])

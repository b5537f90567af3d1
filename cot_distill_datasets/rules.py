"""What an edition promises, checked on the rows of a config as they were written."""

from __future__ import annotations

from collections.abc import Iterator

from .answers import equivalent
from .benchmarks import BENCHMARKS, layout
from .editions import UNFIT
from .release import ConfigStats
from .schema import Row, completion_text, question_id


def broken_rules(stats: ConfigStats, rows: list[Row], edition: str, test_ids: set[str]) -> Iterator[str]:
    """Yield a sentence for each promise that `rows`, those of one config, break, with how many rows and the first."""
    promises = {
        "have another id than their question": lambda row: row["id"] != _id(row),
        "have another prompt than their benchmark's layout": lambda row: row["prompt"] != _prompt(row),
    }
    if stats.split == "train":
        promises |= {
            "have an `is_correct` that the grader does not confirm": lambda row: row["is_correct"] is not _judge(row),
            "have no completion": lambda row: not row["completion"],
        }
    if stats.split == "train" and edition != "paper":
        promises |= {
            "are in a test split": lambda row: row["id"] in test_ids,
            "contradict the gold": lambda row: row["is_correct"] is False,
            "have a flag that this edition excludes": lambda row: not set(UNFIT).isdisjoint(row["flags"]),
            "have another completion than rationale and closing sentence": lambda row: (
                _completion(row) != _closed(row)
            ),
        }
    if len(rows) != stats.rows:
        yield f"{stats.name}: has {len(rows)} rows, release.json says {stats.rows}."
    for said, is_broken in promises.items():
        broken = [row["source"] for row in rows if is_broken(row)]
        if broken:
            yield f"{stats.name}: {len(broken)} rows {said} (the first is {broken[0]})."


def _id(row: Row) -> str:
    return question_id(row["benchmark"], row["question"], row["choices"])


def _prompt(row: Row) -> list[dict[str, str]]:
    return [{"role": "user", "content": layout(row["question"], row["choices"])}]


def _judge(row: Row) -> bool | None:
    if row["teacher_answer"] is None or "no_gold" in row["flags"]:
        return None
    return equivalent(row["teacher_answer"], row["answer"], BENCHMARKS[row["benchmark"]].answer_kind)


def _completion(row: Row) -> str:
    return str(row["completion"][0]["content"]) if row["completion"] else ""


def _closed(row: Row) -> str:
    return completion_text(row["rationale"], row["answer"])

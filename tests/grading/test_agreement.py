"""A person's judgments of released texts (`tests/bench/*.jsonl`) match the current readings of the grader."""

from pathlib import Path
from typing import Any

import pytest
from bench.released import CLASSES, DISAGREEMENTS, JUDGED, Text, flexible, read_records, released_texts, strict


def test_at_least_50_texts_with_different_readings_are_judged() -> None:
    records = read_records(JUDGED)
    assert len({record["source"] for record in records}) == len(records) >= 50
    for record in records:
        assert record["is_gold"] in (True, False, None)
        assert record["concludes"] or not record["is_gold"], record["source"]  # a gold cannot be empty
        assert len(record["excerpt"]) <= 200  # short quotations only: the texts are not licensed to us
        assert {"ours strict", "ours flexible", "math-verify"} <= set(record["said"])


def test_at_least_100_disagreements_with_the_gold_are_classified() -> None:
    records = read_records(DISAGREEMENTS)
    assert len({record["source"] for record in records}) == len(records) >= 100
    for record in records:
        assert record["class"] in CLASSES
        assert record["note"] or record["class"] == "teacher", record["source"]
        assert len(record["note"]) <= 200


@pytest.fixture(scope="module")
def texts(upstream: Path) -> dict[str, Text]:
    return {text.source: text for text in released_texts(upstream)}


def _changed(recorded: list[tuple[str, str | None, str | None]]) -> list[str]:
    return [f"{source}: recorded {before!r}, now {now!r}" for source, before, now in recorded if before != now]


@pytest.mark.slow
def test_the_readings_are_those_recorded(texts: dict[str, Text]) -> None:
    """`tests/bench/grader_agreement.py --accept` records an intended change."""
    judged: list[dict[str, Any]] = read_records(JUDGED)
    sampled: list[dict[str, Any]] = read_records(DISAGREEMENTS)
    for record in (*judged, *sampled):
        assert record["gold"] == texts[record["source"]].gold
    assert not _changed([(r["source"], r["said"]["ours strict"], strict(texts[r["source"]]).answer) for r in judged])
    assert not _changed(
        [(r["source"], r["said"]["ours flexible"], flexible(texts[r["source"]]).answer) for r in judged]
        + [(r["source"], r["said"], flexible(texts[r["source"]]).answer) for r in sampled]
    )

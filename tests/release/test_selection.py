"""Each edition selects its rows, and the input rows are never changed."""

from collections import Counter
from copy import deepcopy

import pytest

from cot_distill_datasets import ConfigName
from cot_distill_datasets.benchmarks import EvalItem
from cot_distill_datasets.release.editions import DEFAULT_EDITION, EDITIONS, Edition
from cot_distill_datasets.release.selection import EvalQuestions, eval_questions, flag_test_questions, select
from cot_distill_datasets.schema import Row, cot_row, normalize_text, question_id


TESTS = EvalQuestions(
    frozenset({question_id("svamp", "a test question?", [])}), frozenset({normalize_text("a test question?")})
)


def _row(
    question: str, teacher_answer: str | None = "4", choices: tuple[str, ...] = (), rationale: str | None = "So."
) -> Row:
    row = cot_row(
        ConfigName.parse("gpt4o-l1-svamp"), question, list(choices), "4",
        rationale=rationale, teacher_answer=teacher_answer, teacher_text=f"{question} So: 4!", source=question,
    )  # fmt: skip
    assert row is not None
    return row


def _rows() -> list[Row]:
    return [
        _row("Right?"), _row("Wrong?", "5"), _row("Silent?", None), _row("A  TEST question?"), _row("Right?"),
        _row("A test question?", choices=("x", "y")), _row("Bare?", rationale=""), _row("Baseline?", rationale=None),
    ]  # fmt: skip


def _flagged() -> list[Row]:
    return list(flag_test_questions(_rows(), TESTS))


def _select(rows: list[Row], edition: Edition, shared: frozenset[str] | None = None) -> tuple[list[Row], Counter[str]]:
    kept, dropped = select(rows, edition, shared)
    return list(kept), dropped


def test_questions_of_the_test_splits_have_ids_and_stems() -> None:
    item = EvalItem("a test question?", [], "4", "svamp/test#0")
    assert eval_questions({"svamp": [item]}) == TESTS


def test_test_questions_and_shared_stems_are_flagged() -> None:
    flags = {row["source"]: row["flags"] for row in _flagged()}
    assert flags["A  TEST question?"] == ["in_test"] and flags["A test question?"] == ["stem_in_test"]
    assert flags["Right?"] == [] and flags["Silent?"] == ["no_conclusion"]


def test_the_default_edition_drops_test_questions_contradictions_and_texts_without_reasoning_or_conclusion() -> None:
    rows, dropped = _select(_flagged(), DEFAULT_EDITION)
    assert [row["source"] for row in rows] == ["Right?", "Right?", "A test question?", "Baseline?"]
    assert dropped == {"leaked": 1, "contradicting": 1, "no_conclusion": 1, "no_rationale": 1}
    assert rows[0]["completion"] == [{"role": "assistant", "content": "So.\nThe answer is 4"}]


@pytest.mark.parametrize("flag", ["denied", "doubtful_gold", "cut_text", "no_conclusion", "no_rationale"])
def test_the_default_edition_drops_rows_with_an_excluded_flag(flag: str) -> None:
    assert _select([_row("Right?") | {"flags": ["br_tag", flag]}], DEFAULT_EDITION) == ([], {flag: 1})


def test_the_paper_edition_keeps_every_row_with_the_text_of_the_teacher() -> None:
    rows, dropped = _select(_flagged(), EDITIONS["paper"])
    assert (len(rows), dropped) == (8, {})
    assert {row["completion"][0]["content"] for row in rows} == {f"{row['source']} So: 4!" for row in _rows()}
    without_text = _row("Right?") | {"teacher_text": None}
    assert _select([without_text], EDITIONS["paper"])[0] == [without_text]


def test_the_aligned_edition_keeps_the_first_row_of_each_shared_question_sorted_by_id() -> None:
    flagged = _flagged()
    ids = frozenset(row["id"] for row in _select(flagged, DEFAULT_EDITION)[0])
    shared = ids - {question_id("svamp", "Baseline?", [])}
    second = flagged[4] | {"source": "the second"}
    rows, dropped = _select([*flagged[:4], second, *flagged[5:]], EDITIONS["aligned"], shared)
    assert [row["id"] for row in rows] == sorted(shared)
    assert "the second" not in {row["source"] for row in rows}
    assert dropped == {"leaked": 1, "contradicting": 1, "no_conclusion": 1, "no_rationale": 1, "unaligned": 2}


@pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)
def test_the_input_rows_do_not_change(edition: Edition) -> None:
    rows = _rows()
    before = deepcopy(rows)
    flagged = list(flag_test_questions(rows, TESTS))
    assert rows == before
    flagged_before = deepcopy(flagged)
    first = _select(flagged, edition, frozenset({rows[0]["id"]}) if edition.aligned else None)
    assert (rows, flagged) == (before, flagged_before)
    assert _select(flagged, edition, frozenset({rows[0]["id"]}) if edition.aligned else None) == first

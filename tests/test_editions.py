"""An edition has the rows that it promises."""

from pathlib import Path

import pytest
from conftest import copy_upstream
from datasets import load_dataset

from cot_distill_datasets import ConfigName
from cot_distill_datasets.build import build
from cot_distill_datasets.editions import EvalQuestions, clean_ids, select
from cot_distill_datasets.schema import Row, cot_row, question_id, stem


def _row(
    question: str, teacher_answer: str | None = "4", choices: tuple[str, ...] = (), rationale: str | None = "So."
) -> Row:
    row = cot_row(
        ConfigName.parse("gpt4o-l1-svamp"), question, list(choices), "4",
        rationale=rationale, teacher_answer=teacher_answer, source=question,
    )  # fmt: skip
    assert row is not None
    return row


TESTS = EvalQuestions(frozenset({question_id("svamp", "a test question?", [])}), frozenset({stem("a test question?")}))


def _rows() -> list[Row]:
    return [
        _row("Right?"), _row("Wrong?", "5"), _row("Silent?", None), _row("A  TEST question?"), _row("Right?"),
        _row("A test question?", choices=("x", "y")), _row("Bare?", rationale=""), _row("Baseline?", rationale=None),
    ]  # fmt: skip


def test_clean_drops_test_questions_contradictions_and_bare_answers_and_flags_shared_stems() -> None:
    rows, dropped = select(_rows(), "clean", TESTS)
    assert [row["source"] for row in rows] == ["Right?", "Silent?", "Right?", "A test question?", "Baseline?"]
    assert dropped == {"leaked": 1, "contradicting": 1, "no_rationale": 1}
    assert [row["flags"] for row in rows if row["source"] == "A test question?"] == [["stem_in_test"]]


def test_paper_drops_nothing_and_flags_test_questions() -> None:
    rows, dropped = select(_rows(), "paper", TESTS)
    assert (len(rows), dropped) == (8, {})
    assert [row["flags"] for row in rows if row["source"] == "A  TEST question?"] == [["in_test"]]


def test_aligned_keeps_the_first_row_of_each_shared_question_in_one_order() -> None:
    shared = clean_ids(_rows(), TESTS) - {question_id("svamp", "Silent?", [])}
    rows, dropped = select(_rows(), "aligned", TESTS, shared)
    assert [row["id"] for row in rows] == sorted(shared)
    assert dropped == {"leaked": 1, "contradicting": 1, "no_rationale": 1, "unaligned": 2}


@pytest.fixture(scope="module")
def some_upstream(tmp_path_factory: pytest.TempPathFactory, upstream: Path) -> Path:
    return copy_upstream(
        upstream, tmp_path_factory.mktemp("some"),
        "SVAMP_only_ans", "SVAMP_ChatGPT_level1", "SVAMP_ChatGPT_level2", "SVAMP_ChatGPT_level3", "svamp_bloom_bsm",
        "SVAMP_human", "stqa_only_ans", "stqa_human", "stqa_chatgpt_level1", "auqa_only_ans", "math_onlyans",
        "math_human", "math_mix_chatgpt_level1", "math_mix_gemini_level1",
    )  # fmt: skip


def test_the_aligned_edition_has_the_same_questions_in_the_same_order_at_every_level_and_format(
    tmp_path: Path, some_upstream: Path, benchmarks: Path, few_problems: None
) -> None:
    release = build(tmp_path / "out", some_upstream, benchmarks, edition="aligned")
    names = ["gpt4o-l1-svamp", "gpt4o-l2-svamp", "gpt4o-l3-svamp", "gpt4o-l3-l2m-svamp"]
    ids = [load_dataset(str(tmp_path / "out"), name, split="train")["id"][:] for name in names]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert 650 < len(ids[0]) < 690
    stats = {config.name: config for config in release.configs}
    assert stats["gpt4o-l1-svamp"].dropped["unaligned"] == 688 - len(ids[0])
    assert stats["human-svamp"].rows == 700


def test_the_paper_edition_has_the_teachers_own_text(
    tmp_path: Path, some_upstream: Path, benchmarks: Path, few_problems: None
) -> None:
    build(tmp_path / "out", some_upstream, benchmarks, edition="paper")
    assert load_dataset(str(tmp_path / "out"), "human-strategyqa", split="train").num_rows == 2290
    rows = load_dataset(str(tmp_path / "out"), "gpt4o-l1-svamp", split="train").to_list()
    assert len(rows) == 700 and sum(row["is_correct"] is False for row in rows) == 9
    texts = {row["id"]: row["completion"][0]["content"] for row in rows}
    appended = [row for row in rows if row["is_correct"] is False]
    assert all(row["teacher_answer"] in texts[row["id"]] for row in appended)
    golds = load_dataset(str(tmp_path / "out"), "answer-aqua", split="train").to_list()
    assert all(row["completion"][0]["content"] == row["answer"] for row in golds)  # `B`, as the paper trained


def test_human_strategyqa_is_clean_of_all_its_290_test_questions(
    tmp_path: Path, some_upstream: Path, benchmarks: Path, few_problems: None
) -> None:
    release = build(tmp_path / "out", some_upstream, benchmarks)
    stats = {config.name: config for config in release.configs}
    assert stats["human-strategyqa"].dropped == {"leaked": 290}
    tests = set(load_dataset(str(tmp_path / "out"), "eval-strategyqa", split="test")["id"][:])
    assert not tests & set(load_dataset(str(tmp_path / "out"), "human-strategyqa", split="train")["id"][:])
    assert stats["gemini-l1-math"].dropped["other_teacher"] == 195
    assert stats["answer-math"].flags["cut_gold"] == 70


def test_without_a_test_split_there_is_no_clean_edition_unless_it_is_asked_for(
    tmp_path: Path, some_upstream: Path, benchmarks: Path, few_problems: None
) -> None:
    bare = copy_upstream(some_upstream, tmp_path / "bare", "auqa_only_ans", "stqa_only_ans")
    left = build(tmp_path / "out", bare)
    assert list(left.left_out) == ["answer-aqua"]
    assert "no test split of aqua is at hand: give --benchmarks, or --unchecked" in left.left_out["answer-aqua"]
    kept = build(tmp_path / "out", bare, unchecked=True)
    assert (kept.unchecked, kept.left_out) == (["aqua"], {})
    assert "**Not checked for leaks:** no test split of aqua" in (tmp_path / "out/README.md").read_text()
    paper = build(tmp_path / "paper", bare, edition="paper")
    assert {"answer-aqua", "answer-strategyqa"} <= {stats.name for stats in paper.configs}

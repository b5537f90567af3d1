from cot_distill_datasets import ConfigName
from cot_distill_datasets.benchmarks import EvalItem, layout
from cot_distill_datasets.schema import FEATURES, cot_row, eval_row, question_id


CONFIG = ConfigName.parse("gpt4o-l5-svamp")


def test_a_row_has_the_columns_of_the_schema_and_closes_with_the_gold() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], "4", rationale="2 + 2 = 4.", teacher_answer="4", source="data/x.json#0")
    assert row is not None
    assert row.keys() == FEATURES.keys()
    assert row["prompt"] == [{"role": "user", "content": "2 + 2?"}]
    assert row["completion"] == [{"role": "assistant", "content": "2 + 2 = 4.\nThe answer is 4"}]
    assert row["is_correct"] is True


def test_without_a_gold_the_teachers_answer_stands_and_is_flagged() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], None, rationale="So.", teacher_answer="5", source="x")
    assert row is not None
    assert (row["answer"], row["is_correct"], row["flags"]) == ("5", None, ["no_gold"])


def test_a_teacher_without_a_conclusion_is_neither_right_nor_wrong() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], "4", rationale="", teacher_answer=None, source="x")
    assert row is not None
    assert (row["is_correct"], row["flags"]) == (None, ["no_conclusion", "no_rationale"])


def test_without_any_answer_there_is_no_row() -> None:
    assert cot_row(CONFIG, "2 + 2?", [], None, rationale="So.", teacher_answer=None, source="x") is None


def test_a_question_has_one_id_whatever_its_spacing_and_case() -> None:
    assert question_id("svamp", "How  many\npens?", []) == question_id("svamp", "how many pens? ", [])
    assert question_id("svamp", "How many pens?", []) != question_id("gsm8k", "How many pens?", [])
    assert question_id("csqa", "Where?", ["a", "b"]) != question_id("csqa", "Where?", ["b", "a"])


def test_a_test_row_has_the_prompt_of_training_and_nothing_of_a_teacher() -> None:
    row = eval_row("svamp", EvalItem("2 + 2?", [], "4", "svamp/x.json#0"))
    assert row.keys() == FEATURES.keys()
    assert (row["prompt"][0]["content"], row["completion"], row["rationale"], row["teacher"]) == (
        "2 + 2?",
        [],
        None,
        None,
    )


def test_options_are_laid_out_a_line_each() -> None:
    assert layout("Where?", ["sea", "a, b"]) == "Where?\nAnswer choices:\nA. sea\nB. a, b"

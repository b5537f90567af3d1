from cot_distill_datasets import ConfigName
from cot_distill_datasets.benchmarks import EvalItem, layout
from cot_distill_datasets.schema import FEATURES, Generation, cot_row, eval_row, question_id


CONFIG = ConfigName.parse("gpt4o-l5-svamp")


def test_a_row_has_the_columns_of_the_schema_and_ends_with_the_gold() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], "4", rationale="2 + 2 = 4.", teacher_answer="4", source="data/x.json#0")
    assert row is not None
    assert row.keys() == {*FEATURES, "teacher_text"}
    assert row["prompt"] == [{"role": "user", "content": "2 + 2?"}]
    assert row["completion"] == [{"role": "assistant", "content": "2 + 2 = 4.\nThe answer is 4"}]
    assert row["is_correct"] is True


def test_without_a_gold_the_teachers_answer_is_used_and_flagged() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], None, rationale="So.", teacher_answer="5", source="x")
    assert row is not None
    assert (row["answer"], row["is_correct"], row["flags"]) == ("5", None, ["no_gold"])


def test_without_a_conclusion_is_correct_is_null() -> None:
    row = cot_row(CONFIG, "2 + 2?", [], "4", rationale="", teacher_answer=None, source="x")
    assert row is not None
    assert (row["is_correct"], row["flags"]) == (None, ["no_conclusion", "no_rationale"])


def test_without_any_answer_there_is_no_row() -> None:
    assert cot_row(CONFIG, "2 + 2?", [], None, rationale="So.", teacher_answer=None, source="x") is None


def test_spacing_and_case_do_not_change_the_id_of_a_question() -> None:
    assert question_id("svamp", "How  many\npens?", []) == question_id("svamp", "how many pens? ", [])
    assert question_id("svamp", "How many pens?", []) != question_id("gsm8k", "How many pens?", [])
    assert question_id("csqa", "Where?", ["a", "b"]) != question_id("csqa", "Where?", ["b", "a"])


def test_a_test_row_has_the_prompt_of_training_and_no_values_of_a_teacher() -> None:
    row = eval_row("svamp", EvalItem("2 + 2?", [], "4", "svamp/x.json#0"))
    assert row.keys() == FEATURES.keys()
    assert (row["prompt"][0]["content"], row["completion"]) == ("2 + 2?", [])
    assert (row["rationale"], row["teacher"], row["teacher_answer"]) == (None, None, None)


def test_options_are_printed_one_per_line() -> None:
    assert layout("Where?", ["sea", "a, b"]) == "Where?\nAnswer choices:\nA. sea\nB. a, b"


def test_a_row_keeps_the_teachers_text_and_the_facts_of_generation() -> None:
    facts = Generation(False, "ab12", 3, "org/tiny", '{"temperature": 0.7}')
    row = cot_row(
        CONFIG, "2 + 2?", [], "4", rationale="Add.", teacher_answer="4", source="x", teacher_text="Add. It is 4",
        generation=facts,
    )  # fmt: skip
    assert row is not None
    assert row["teacher_text"] == "Add. It is 4"
    assert Generation(*(row[name] for name in Generation._fields)) == facts

from cot_distill_datasets.closings import without_closing


def test_work_in_the_closing_sentence_is_kept() -> None:
    assert without_closing("Add them. The answer is 19 + 18 = 37", "number") == "Add them. 19 + 18 = 37."
    assert without_closing("Add them. The answer is 37.", "number") == "Add them."
    assert without_closing("The answer is 88. Note: odd.", "number") == "The answer is 88. Note: odd."
    assert without_closing("It is 5, so the answer is 5", "number") == "It is 5."
    assert without_closing("Add them. Therefore, the answer should be 37.", "number") == "Add them."
    aside = "The answer is 1500 (incorrect, answer should be 1275)"
    assert without_closing(aside, "number") == aside

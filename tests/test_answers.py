import pytest

from cot_distill_datasets.answers import equivalent, extract, normalise, without_closing


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 + 3 = 8.\nThe answer is 8", "8"),
        ("The answer is 12 + 13 = 25", "25"),
        ("So the answer is $1,450.00.", "1450"),
        ("The answer is -10 + 24 = 14.", "14"),
        ("The answer is 17 (6 bills + the initial 11 bills)", "17"),
        ("The answer is **18**", "18"),
        ("The answer is 4. No, wait. The answer is 5", "5"),
        ("7 - 5 (dad) = 2The answer is 2", "2"),
        ("The answer is 1/2", "1/2"),
        ("The answer is 0.50", "0.5"),
        ("The answer is 84 - 52", None),
        ("The answer is <answer>", None),
        ("The answer is not given", None),
        ("He has 7 left.", None),
    ],
)
def test_strict_reads_the_closing_sentence(text: str, answer: str | None) -> None:
    assert extract(text, "number", strict=True) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("He has 7 left.", "7"), ("3 pens, then 1,200.", "1200"), ("none at all", None), ("The answer is 5", "5")],
)
def test_flexible_falls_back_on_the_last_number(text: str, answer: str | None) -> None:
    assert extract(text, "number", strict=False) == answer


@pytest.mark.parametrize(("a", "b"), [("1,000.0", "1000"), ("1/2", "0.50"), ("$7", "7"), ("−3", "-3")])
def test_the_same_number_in_another_dress_is_equivalent(a: str, b: str) -> None:
    assert equivalent(a, b, "number")


@pytest.mark.parametrize(("a", "b"), [("18", "1"), ("3", "-3"), ("", ""), ("x", "x"), ("1/0", "1/0")])
def test_other_or_no_numbers_are_not_equivalent(a: str, b: str) -> None:
    assert not equivalent(a, b, "number")


def test_endless_digits_are_no_answer() -> None:
    assert normalise("9" * 10**6, "number") is None
    assert extract("9" * 10**6, "number", strict=False) is None


def test_work_in_the_closing_sentence_is_kept() -> None:
    assert without_closing("Add them. The answer is 19 + 18 = 37", "number") == "Add them. 19 + 18 = 37."
    assert without_closing("Add them. The answer is 37.", "number") == "Add them."
    assert without_closing("The answer is 88. Note: odd.", "number") == "The answer is 88. Note: odd."

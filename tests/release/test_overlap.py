"""Questions that share words with a test split or with each other are found."""

from cot_distill_datasets.release.overlap import find_overlap, near_duplicates, ngrams, words
from cot_distill_datasets.schema import Row, question_id


QUESTION = (
    "Josie received 50 dollars as a gift and buys two tapes at 9 dollars each and a headset, how much has she left"
)


def _row(question: str, *choices: str, benchmark: str = "csqa") -> Row:
    id_ = question_id(benchmark, question, list(choices))
    return {"id": id_, "question": question, "choices": list(choices)}


def test_near_duplicates_are_questions_that_share_most_of_their_words() -> None:
    questions = {
        "a": words(QUESTION, []),
        "b": words(QUESTION.replace("Josie", "Amanda"), []),
        "c": words("Where would you find magazines along side many other printed works?", ["bookstore"]),
        "d": words("Yes?", []),
    }
    assert near_duplicates(questions) == {"a": {"b"}, "b": {"a"}}
    assert ngrams(words("One, two: three!", []), 2) == {"one two", "two three"}


def test_overlap_with_a_test_split_is_reported_by_kind() -> None:
    tests = [_row("Where do books live?", "shelf", "sea"), _row(QUESTION)]
    other_choices, near = _row("Where do books live?", "shelf", "sky"), _row(QUESTION.replace("Josie", "Amanda"))
    shares_13 = _row(f"Unrelated {' '.join(QUESTION.split()[:13])} and then the text differs entirely from it " * 2)
    other_benchmark = _row(QUESTION.replace("Josie", "Amanda"), benchmark="obqa")
    overlap = find_overlap(tests, [*tests, other_choices, near, shares_13, other_benchmark, _row("Why?")])
    assert overlap.test_ids == {row["id"] for row in tests}
    assert overlap.flagged() == {
        "stem": [other_choices["id"]],
        "ngram": sorted(row["id"] for row in (near, shares_13, other_benchmark)),
        "near": [near["id"]],  # only questions of the same benchmark are compared
    }

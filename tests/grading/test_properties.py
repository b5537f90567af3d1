"""Properties of the grader for any text. `fuzz_grader.py` searches longer for violations."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_distill_datasets.grading import latex, latex_worker, tidying
from cot_distill_datasets.grading.answers import equivalent, extract, normalize
from cot_distill_datasets.grading.closings import strip_closing
from cot_distill_datasets.grading.conclusions import find_closing
from cot_distill_datasets.grading.last_answers import _STANDALONE_BOOLEAN, _STANDALONE_LETTER
from cot_distill_datasets.grading.numbers import NUMBER, normalize_number, number_value


KINDS = st.sampled_from(["number", "choice", "boolean", "math"])
FRAGMENTS = st.sampled_from([
    "The answer is ", "the answer is: ", "18", "-3", "1,450.0", "$", "%", "−", "½", "10⁵", "1 1/2", "\\frac{1}{2}",
    "\\boxed{", "}", "**", "(B)", "A ", "Option C", "yes", "No", "True.", "not ", "wrong", "=", "+", "/", "^", "_4",
    "\\sqrt{", "\\text{ cm}", ",", "\n", ". ", "[asy]", "\\times 10^{", "NaN", "\ud800", "٣", "x", ":", " ",
])  # fmt: skip
TEXTS = st.lists(FRAGMENTS | st.text(max_size=4), max_size=15).map("".join)
WRITINGS = (
    "{n}", "{n}.", "**{n}**", "${n}$", "\\boxed{{{n}}}", "\\$ {n}", "{n}%", "{n} apples", "{n:,}", "€{n}", "{n}e0",
    "{n} \\times 10^0", "{n}/1", "x = {n}", "3 - 3 + {n} = {n}", "{n} (that is all)",
)  # fmt: skip

settings.register_profile("seconds", deadline=None, derandomize=True)  # a slow machine must not fail a test
settings.load_profile("seconds")


@given(TEXTS, KINDS)
def test_an_extracted_answer_is_canonical_and_equals_itself(text: str, kind: str) -> None:
    strict, flexible = (extract(text, kind, strict=strict) for strict in (True, False))
    assert strict is None or strict == flexible
    for answer in {strict, flexible} - {None}:
        assert equivalent(answer, answer, kind)
        if kind == "math":
            assert tidying.tidy(tidying.tidy(answer)) == tidying.tidy(answer)
        else:
            assert normalize(answer, kind) == answer


@given(TEXTS, st.integers(-(10**12), 10**12), st.sampled_from(WRITINGS), st.booleans())
def test_the_last_closing_sentence_counts_in_any_format(before: str, number: int, writing: str, strict: bool) -> None:
    text = f"{before}\nThe answer is {writing.format(n=number)}"
    assert extract(text, "number", strict=strict) == str(number)


@given(TEXTS, st.sampled_from("ABCDE"), st.sampled_from(["{}", "({}).", "Option {}", "{}: word", "**{}**"]))
def test_the_last_letter_counts_in_any_format(before: str, letter: str, writing: str) -> None:
    assert extract(f"{before}\nThe answer is {writing.format(letter)}", "choice", strict=True) == letter


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_numbers_are_equivalent_if_their_values_are_equal(a: Fraction, b: Fraction) -> None:
    assert equivalent(str(a), str(b), "number") == (a == b)
    assert equivalent(str(a), f"\\frac{{{2 * a.numerator}}}{{{2 * a.denominator}}}", "number")
    assert latex.equivalent(str(a), f"\\frac{{{a.numerator}}}{{{a.denominator}}}")


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(-20, 20))
def test_a_canonical_number_keeps_its_value(number: object, power: int) -> None:
    for written in (f"{number}", f"{number}e{power}", f"{number} × 10^{{{power}}}", f"${number:,}"):
        canonical = normalize_number(written)
        assert canonical is not None and number_value(canonical) == number_value(written)
    assert number_value(f"{number}e{power}") == Fraction(str(number)) * Fraction(10) ** power


@given(st.text("0123456789", min_size=1, max_size=110))
def test_plain_digits_are_read_without_a_regex_as_with_one(digits: str) -> None:
    assert number_value(digits) == number_value(f" {digits}")  # the space disables the shortcut
    assert normalize_number(digits) == normalize_number(f" {digits}")


@given(TEXTS, TEXTS, st.sampled_from(["number", "choice", "boolean"]))
def test_equivalence_is_symmetric(a: str, b: str, kind: str) -> None:
    assert equivalent(a, b, kind) == equivalent(b, a, kind)


@given(TEXTS)
def test_no_answer_spans_two_lines(text: str) -> None:
    for pattern in (NUMBER, _STANDALONE_LETTER, _STANDALONE_BOOLEAN):
        answers = [match[0] for match in pattern.finditer(text)]
        assert answers == [match[0] for line in text.split("\n") for match in pattern.finditer(line)]


TERMS = st.sampled_from(["x", "y", "2", "\\pi", "\\sqrt{2}", "\\frac{1}{2}", "3x", "x^2", "(x+1)", "\\sqrt{8}", "i"])
EXPRESSIONS = st.lists(st.tuples(st.sampled_from(["+", "-", "\\cdot "]), TERMS), min_size=1, max_size=3).map(
    lambda terms: "1" + "".join(sign + term for sign, term in terms)
)


# Answers as models write them: lists, equations, relations, sets, words.
ANSWERS = st.lists(
    st.sampled_from(["x", "y", "=", ",", ";", " or ", " and ", "<", "\\le ", "3", "-2", "\\frac{1}{2}", "(", ")", "[",
                     "\\{", "\\}", "\\pm ", "\\text{saw}", "was", "^2", "+", "i", "\\in ", "\\infty", "2:3",
                     "\\boxed{4}"]),
    min_size=1, max_size=8,
).map("".join)  # fmt: skip


@settings(max_examples=200)
@given(ANSWERS | TEXTS, ANSWERS | TEXTS)
def test_latex_equivalence_is_symmetric_and_reflexive(a: str, b: str) -> None:
    assert equivalent(a, b, "math") == equivalent(b, a, "math")
    assert equivalent(a, a, "math") == bool(tidying.tidy(a))


@given(TEXTS, KINDS)
def test_every_reader_of_a_closing_sentence_reads_the_same_one(text: str, kind: str) -> None:
    closing = find_closing(text, kind)
    is_sentence = closing is not None and closing.is_sentence
    assert extract(text, kind, strict=True) == (closing.answer if is_sentence else None)
    assert is_sentence or strip_closing(text, kind, closing) == text
    if closing and not is_sentence:
        assert extract(text, kind, strict=False) == closing.answer


@pytest.mark.filterwarnings("default")  # sympy warns
@settings(max_examples=60)
@given(EXPRESSIONS, EXPRESSIONS)
def test_values_at_points_agree_with_the_proof_of_math_verify(a: str, b: str) -> None:
    first, second = latex_worker._parse(a), latex_worker._parse(b)
    proven = latex_worker.verify(first, second, timeout_seconds=None)
    assert latex_worker._is_same(a, b) == latex_worker._is_same(b, a) == proven
    assert latex_worker._same_values(first[0], first[0]) in (True, None)

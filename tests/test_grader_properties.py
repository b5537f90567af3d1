"""What holds of the grader whatever a text says (`fuzz_grader.py` looks for longer)."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_distill_datasets import latex, latex_worker, numerals
from cot_distill_datasets.answers import _LONE_LETTER, _LONE_TRUTH, equivalent, extract, normalise
from cot_distill_datasets.numerals import NUMBER, normalise_number, number_value


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

settings.register_profile("seconds", deadline=None, derandomize=True)  # a slow CI proves nothing
settings.load_profile("seconds")


@given(TEXTS, KINDS)
def test_an_answer_found_is_canonical_and_equals_itself(text: str, kind: str) -> None:
    strict, flexible = (extract(text, kind, strict=strict) for strict in (True, False))
    assert strict is None or strict == flexible
    for found in {strict, flexible} - {None}:
        assert equivalent(found, found, kind)
        assert (
            (latex.tidy(latex.tidy(found)) == latex.tidy(found)) if kind == "math" else normalise(found, kind) == found
        )


@given(TEXTS, st.integers(-(10**12), 10**12), st.sampled_from(WRITINGS), st.booleans())
def test_the_last_conclusion_counts_in_any_dress(before: str, number: int, writing: str, strict: bool) -> None:
    text = f"{before}\nThe answer is {writing.format(n=number)}"
    assert extract(text, "number", strict=strict) == str(number)


@given(TEXTS, st.sampled_from("ABCDE"), st.sampled_from(["{}", "({}).", "Option {}", "{}: word", "**{}**"]))
def test_the_last_letter_counts_in_any_dress(before: str, letter: str, dress: str) -> None:
    assert extract(f"{before}\nThe answer is {dress.format(letter)}", "choice", strict=True) == letter


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_two_numbers_are_equivalent_where_their_values_are(a: Fraction, b: Fraction) -> None:
    assert equivalent(str(a), str(b), "number") == (a == b)
    assert equivalent(str(a), f"\\frac{{{2 * a.numerator}}}{{{2 * a.denominator}}}", "number")
    assert latex.equivalent(str(a), f"\\frac{{{a.numerator}}}{{{a.denominator}}}")


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(-20, 20))
def test_a_canonical_number_keeps_its_value(number: object, power: int) -> None:
    for written in (f"{number}", f"{number}e{power}", f"{number} × 10^{{{power}}}", f"${number:,}"):
        canonical = normalise_number(written)
        assert canonical is not None and number_value(canonical) == number_value(written)
    assert number_value(f"{number}e{power}") == Fraction(str(number)) * Fraction(10) ** power


@given(st.text("0123456789", min_size=1, max_size=110))
def test_digits_are_read_the_quick_way_as_the_slow_way(digits: str) -> None:
    parts = numerals._parts(digits)
    assert number_value(digits) == (parts and numerals._value(parts))
    assert normalise_number(digits) == (parts and str(numerals._value(parts)))


@given(TEXTS, TEXTS, st.sampled_from(["number", "choice", "boolean"]))
def test_equivalence_has_no_direction(a: str, b: str, kind: str) -> None:
    assert equivalent(a, b, kind) == equivalent(b, a, kind)


@given(TEXTS)
def test_the_last_answer_of_a_text_is_that_of_its_last_line_with_one(text: str) -> None:
    for pattern in (NUMBER, _LONE_LETTER, _LONE_TRUTH):
        whole = [found[0] for found in pattern.finditer(text)]
        assert whole == [found[0] for line in text.split("\n") for found in pattern.finditer(line)]


TERMS = st.sampled_from(["x", "y", "2", "\\pi", "\\sqrt{2}", "\\frac{1}{2}", "3x", "x^2", "(x+1)", "\\sqrt{8}", "i"])
EXPRESSIONS = st.lists(st.tuples(st.sampled_from(["+", "-", "\\cdot "]), TERMS), min_size=1, max_size=3).map(
    lambda terms: "1" + "".join(sign + term for sign, term in terms)
)


@pytest.mark.filterwarnings("default")  # sympy's
@settings(max_examples=60)
@given(EXPRESSIONS, EXPRESSIONS)
def test_what_differs_at_a_point_is_nowhere_called_the_same(a: str, b: str) -> None:
    first, second = latex_worker._parsed(a), latex_worker._parsed(b)
    proven = latex_worker.verify(first, second, timeout_seconds=None)
    assert latex_worker._is_same(a, b) == proven
    assert not latex_worker._differ(first, first)

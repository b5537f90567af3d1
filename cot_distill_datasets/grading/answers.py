"""The grader of the importer, the audit and the evaluation: extracts final answers and compares them.

>>> extract("5 + 7 = 12, and 12 * 2 = 24.\\nThe answer is $24.", "number", strict=True)
'24'
>>> extract("Leaves are green. The answer is Option (C).", "choice", strict=True)
'C'
>>> equivalent("1,000.0", "1000", "number"), equivalent(r"\\frac12", "0.5", "math")
(True, True)

Model output is never evaluated as code: numbers are parsed as `fractions.Fraction` from text of bounded length, and
math-verify compares LaTeX in a separate process (`latex_judge.py`).
"""

import re

from . import latex
from .conclusions import MAX_TEXT, Kind, conclusion_span, find_closing_in, is_undecided, read_answer
from .formulas import clean
from .last_answers import last_answer, text_after_rejected_answer
from .numbers import NUMBER, normalize_number, number_in, number_value
from .tidying import canonical


# Reported with every agreement rate, because the rate depends on the grader as well as on the teacher.
GRADER_VERSION = "cot-distill answers 5"
CLOSING = "The answer is"  # every completion ends with `The answer is {answer}`

# Text around a number that is more than formatting: a variable, a second number, an operator, a LaTeX command.
_NOT_FORMATTING_BEFORE = re.compile(r"\d|(?<![\\A-Za-z])(?!minus )[^\W\d_]")
_NOT_FORMATTING_AFTER = re.compile(r"[\d=^+/<>√]|\*\s*[\w(]|\s[-−]|\b[xyz]\b|\\(?!text|mbox|mathrm|circ)[A-Za-z]")
_ARTICLE = re.compile(r"\W*A (?!is\b)[a-z]")  # "A large one" is not an option


def extract(text: str, kind: Kind, *, strict: bool) -> str | None:
    """Return the final answer of `text` in canonical form (tidy form for math), or None if it has none.

    The last closing sentence counts. In "The answer is 12 + 6 = 18" the value after the last `=` is the answer. For
    numbers, an unevaluated expression ("The answer is 84 - 52") is not an answer.

    If `strict`, only a closing sentence counts. Otherwise a text without one yields its conclusion in another layout
    (`conclusions.py`), else its last number, letter, boolean or formula. A text that rejects an answer yields the last
    one after it ("The answer is not 40, it's 50").
    """
    start, end = conclusion_span(text)
    text = text[start:end]
    closing = find_closing_in(text, kind)
    if closing and (closing.is_sentence or not strict) and (closing.answer is not None or strict):
        return closing.answer
    if strict or (closing and is_undecided(text[closing.end :], kind)):
        return None
    if closing and closing.denied:
        return text_after_rejected_answer(text[closing.end :], kind)
    return last_answer(clean(text), kind)


def normalize(answer: str, kind: Kind) -> str | None:
    """Return the canonical form of an answer (`$1,450.0` → `1450`, `Option B.` → `B`), or None if it is invalid."""
    answer = answer[:MAX_TEXT]
    if kind == "number":
        return normalize_number(answer) or _formatted_number(answer)
    if kind == "math":
        return canonical(answer) or None
    return None if kind == "choice" and _ARTICLE.match(answer) else read_answer(answer.strip(), kind)


def equivalent(a: str, b: str, kind: Kind) -> bool:
    """Whether two answers have the same value (`1/2` and `0.50`), regardless of formatting."""
    if kind == "math":
        return latex.equivalent(a, b)
    first = normalize(a, kind)
    second = first if a == b else normalize(b, kind)
    if first is None or second is None or first == second:
        return first == second is not None
    return kind == "number" and number_value(first) == number_value(second)


def _formatted_number(answer: str) -> str | None:
    r"""Return the only number of an answer that otherwise holds formatting: `**18**`, `\boxed{18}`, `18 dollars`."""
    number = NUMBER.search(answer)
    if number is None or _NOT_FORMATTING_BEFORE.search(answer, 0, number.start()):
        return None
    return None if _NOT_FORMATTING_AFTER.search(answer, number.end()) else number_in(answer, number)

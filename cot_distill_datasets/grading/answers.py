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
from collections import deque
from typing import Literal

from . import latex
from .numbers import NUMBER, normalize_number, number_value


Kind = Literal["number", "choice", "boolean", "math"]

# Reported with every agreement rate, because the rate depends on the grader as well as on the teacher.
GRADER_VERSION = "cot-distill answers 4"
CLOSING = "The answer is"  # every completion ends with `The answer is {answer}`
LETTERS = "ABCDEFGH"
MAX_TEXT = 100_000  # characters; only the end of a longer text is read, which bounds the time of every search

# There is no word boundary before a capital T, because released texts lost line breaks ("= 2The answer is 2").
# "should be" must precede an answer, as in "1500 (incorrect, answer should be 1275)", but not "should be in meters".
_SHOULD_BE = r"should be:? (?=\W{0,8}(?:\d|[A-E]\b|[Tt]rue\b|[Ff]alse\b|frac))"
_CLOSING_PHRASE = re.compile(rf"(?:The|(?<!\bsay )\bthe) (?:final |correct )?answer (?:is:?|{_SHOULD_BE})")
_CORRECTION = re.compile(rf"answer {_SHOULD_BE}")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_OPERATOR_FOLLOWS = re.compile(r"\s*[-−+*/x×÷^]\s*[\d$({]")
# An operand before a minus makes it a subtraction: "(y - 10)" does not contain -10.
_OPERAND = re.compile(r"(?:[\d)}\]]|(?<![\w'’\\])[b-z])[^\S\n]*\Z")
_PARENTHESIS = re.compile(r"(?<=[\w%])\s+\(")  # "4000 (and not 3000)"
# What follows "The answer is" where the text rejects its own answer: "not C", "none of these", "360, but this is
# wrong", "34 is likely incorrect", "46 hours (must be incorrect)". "120 (not 85)" rejects only the 85.
_REJECTION = re.compile(
    r"\W*(?:likely )?(?:not|incorrect|wrong|none)\b"
    r"|[^.\n(]{0,25}\((?!not\b)[^.\n\d)]{0,20}\b(?:incorrect|wrong|not correct)\b"
    r"|[^.\n]{0,25}?(?:,? (?:but|which|was|is)\b)[^.\n]{0,20}\b(?:incorrect|wrong)\b"
    r"|\W*(?:\w+\s){0,3}not (?:given|listed|available|provided|consistent)\b",
    re.IGNORECASE,
)
_IS_OR_EQUALS = re.compile(r"(?:\b(?:is|are)\b|[=:≈])\W{0,8}\Z")
_CONTINUATION = re.compile(r",(?:\s+[a-z]+){3}")  # "The answer is $3003$, take the remainder when …" is not final

# Matches "(B)", "Option B", "B: 1/2", "<answer> B", "isD" and "E=10", but neither the article in "A large one" nor
# the name in "E's". The benchmarks have at most five options.
_LETTER = r"([A-E])(?![A-Za-z]|['’]s)(?!(?<=A) (?!is\b)[a-z])"
_BOX = r"\\(?:boxed|text(?:bf)?|mathrm|mathbf)\b"
LEADING_LETTER = re.compile(rf"(?:(?i:option|choice|answer|spoiler|reveal|is)|{_BOX}|\W)*{_LETTER}")
# A lowercase letter counts only if nothing else follows it.
_LOWERCASE_LETTER = re.compile(rf"(?:(?i:option|choice)|{_BOX}|\W)*([a-e])\W*$")
_TRAILING_LETTER = re.compile(r"\(([A-E])\)|[=.:]\s*([A-E])\W*$")  # "The answer is 4 (C)", "is 7=D"
_STANDALONE_LETTER = re.compile(r"(?<![\w'’-])[A-E](?!\w|['’]s|-\w)(?!(?<=A) (?!(?:is|and|or)\b)\w)")
_BOOLEANS = {"true": "True", "yes": "True", "false": "False", "no": "False"}
_NEGATION = re.compile(rf"(?:{_BOX}|\W)*(?:not\b(?:{_BOX}|\W)*)?", re.IGNORECASE)
LEADING_BOOLEAN = re.compile(rf"(?:{_BOX}|\W)*(true|false|yes|no)\b", re.IGNORECASE)
# "No" is a determiner in "No dog flies" and "no dogs"; the quoted words in "a plain 'yes' or 'no'" are not answers.
_STANDALONE_BOOLEAN = re.compile(r"\b(?:[Tt]rue|TRUE|[Ff]alse|FALSE|Yes|YES|(?:yes|[Nn]o|NO)(?=[.,;:!*)]|\s*$))\b")
# Text around a number that is more than formatting: a variable, a second number, an operator, a LaTeX command.
_NOT_FORMATTING_BEFORE = re.compile(r"\d|(?<![\\A-Za-z])[^\W\d_]")
_NOT_FORMATTING_AFTER = re.compile(r"[\d=^+/<>√]|\*\s*[\w(]|\s[-−]|\b[xyz]\b|\\(?!text|mbox|mathrm|circ)[A-Za-z]")


def extract(text: str, kind: Kind, *, strict: bool) -> str | None:
    """Return the final answer of `text` in canonical form (tidy form for math), or None if it has none.

    Only the last `MAX_TEXT` characters are read, and the last closing sentence ("The answer is 18") counts. In "The
    answer is 12 + 6 = 18" the value after the last `=` is the answer. For numbers, an unevaluated expression ("The
    answer is 84 - 52") is not an answer.

    If `strict`, only a closing sentence counts. Otherwise a text without one yields its last number, letter, boolean
    or formula. A text that rejects an answer yields the last one after it ("The answer is not 40, it's 50").
    """
    text = text[-MAX_TEXT:]
    closing = find_closing(text)
    if closing:
        answer = answer_in_closing(text[closing.end() :].lstrip(), kind)
        if answer is not None or strict:
            return answer
        if _REJECTION.match(text, closing.end()):
            text = _text_after_rejected_answer(text[closing.end() :], kind)
    return None if strict else _last_answer(text, kind)


def denies(text: str) -> bool:
    """Whether the last closing sentence of `text` rejects its own answer ("The answer is not C")."""
    closing = find_closing(text)
    return closing is not None and _REJECTION.match(text, closing.end()) is not None


def normalize(answer: str, kind: Kind) -> str | None:
    """Return the canonical form of an answer (`$1,450.0` → `1450`, `Option B.` → `B`), or None if it is invalid."""
    answer = answer[:MAX_TEXT]
    if kind == "number":
        return normalize_number(answer) or _formatted_number(answer)
    if kind == "math":
        return latex.canonical(answer) or None
    return answer_in_closing(answer.strip(), kind)


def equivalent(a: str, b: str, kind: Kind) -> bool:
    """Whether two answers have the same value (`1/2` and `0.50`), regardless of formatting."""
    if kind == "number":
        first, second = normalize(a, kind), normalize(b, kind)
        if first is None or second is None:
            return False
        return first == second or number_value(first) == number_value(second)
    if kind == "math":
        return latex.equivalent(a, b)
    return normalize(a, kind) == normalize(b, kind) is not None


def find_closing(text: str) -> re.Match[str] | None:
    """Return the match of the last "The answer is" or "answer should be", or None.

    It searches from the end, because texts are long and are searched several times.
    """
    end = len(text)
    while (position := text.rfind("answer ", 0, end)) >= 0:
        start = text.rfind("he ", max(0, position - len("he correct ")), position) - 1
        if match := (start >= 0 and _CLOSING_PHRASE.match(text, start)) or _CORRECTION.match(text, position):
            return match
        end = position
    return None


def answer_in_closing(text: str, kind: Kind) -> str | None:
    """Return the answer of a closing sentence, where `text` is what follows its "The answer is", or None."""
    if _REJECTION.match(text):
        return None
    if kind == "math":
        expression, rest = latex.leading_expression(text)
        return None if _CONTINUATION.match(rest) else latex.answer_in_expression(expression)
    sentence = SENTENCE_END.split(text, maxsplit=1)[0]
    if kind == "number":
        return _first_number(_PARENTHESIS.split(sentence, maxsplit=1)[0].rpartition("=")[2])
    if kind == "boolean":
        boolean = LEADING_BOOLEAN.match(sentence)
        return _BOOLEANS[boolean[1].lower()] if boolean else None
    letter = LEADING_LETTER.match(sentence) or _LOWERCASE_LETTER.match(sentence) or _TRAILING_LETTER.search(sentence)
    return letter[letter.lastindex or 1].upper() if letter else None


def _first_number(expression: str) -> str | None:
    number = NUMBER.search(expression)
    if number is None or _OPERATOR_FOLLOWS.match(expression, number.end()):
        return None
    return normalize_number(number[0])


def _formatted_number(answer: str) -> str | None:
    r"""Return the only number of an answer that otherwise holds formatting: `**18**`, `\boxed{18}`, `18 dollars`."""
    number = NUMBER.search(answer)
    if number is None or _NOT_FORMATTING_BEFORE.search(answer, 0, number.start()):
        return None
    return None if _NOT_FORMATTING_AFTER.search(answer, number.end()) else normalize_number(number[0])


def _text_after_rejected_answer(text: str, kind: Kind) -> str:
    """Return `text` without the rejected answer that it starts with; `text` itself if it starts differently."""
    rejected, negation = _standalone_pattern(kind).search(text), _NEGATION.match(text)
    return text[rejected.end() :] if rejected and negation and rejected.start() <= negation.end() else text


def _standalone_pattern(kind: Kind) -> re.Pattern[str]:
    return _STANDALONE_LETTER if kind == "choice" else _STANDALONE_BOOLEAN if kind == "boolean" else NUMBER


def _last_answer(text: str, kind: Kind) -> str | None:
    """Return the last standalone answer in `text`."""
    if kind == "math":
        text = latex.strip_drawings(text)
        if (boxed := latex.last_boxed(text)) is not None:
            return latex.tidy(boxed) or None
    if (last := _last_standalone(text, kind)) is None:
        return None
    if kind == "choice":
        return last[0]
    if kind == "boolean":
        return _BOOLEANS[last[0].lower()]
    if kind == "math" and (answer := _answer_in_last_formula(text, last)) is not None:
        return answer
    is_difference = last[0][0] in "-−" and _OPERAND.search(text[max(0, last.start() - 8) : last.start()])
    return None if is_difference else normalize_number(last[0])


def _last_standalone(text: str, kind: Kind) -> re.Match[str] | None:
    """Search for the last standalone answer line by line from the end; no pattern matches across lines."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        for last in deque(_standalone_pattern(kind).finditer(text, start, end), maxlen=1):
            return last
        end = start - 1
    return None


def _answer_in_last_formula(text: str, number: re.Match[str]) -> str | None:
    """Return the answer of the last formula if it contains `number` or if `number` only describes that answer.

    In "Thus $36$ is the least perfect square divisible by both 2 and 3." the 3 describes the answer, 36.
    """
    if (formula := latex.last_formula(text)) is None:
        return None
    start, end, answer = formula
    if answer is None or number.start() < start:
        return None
    if number.start() < end:
        return answer if re.search(r"\d", answer) else None
    between = text[end : number.start()]
    describes = SENTENCE_END.search(between) is None and _IS_OR_EQUALS.search(between[-20:]) is None
    return answer if describes and number_value(answer) is not None else None

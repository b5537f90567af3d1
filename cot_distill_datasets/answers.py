"""One grader for audit, teacher and evaluation: what a text concludes, and whether two answers are the same.

>>> extract("5 + 7 = 12, and 12 * 2 = 24.\\nThe answer is $24.", "number", strict=True)
'24'
>>> extract("Leaves are green. The answer is Option (C).", "choice", strict=True)
'C'
>>> equivalent("1,000.0", "1000", "number"), equivalent(r"\\frac12", "0.5", "math")
(True, True)

Nothing a model wrote is evaluated: numbers are read as `fractions.Fraction` from text of bounded length, LaTeX is
judged by math-verify in a process of its own (`latex.py`).
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

from . import latex
from .numerals import NUMBER, normalise_number, number_value


Kind = Literal["number", "choice", "boolean", "math"]

PARSER = "cot-distill answers 4"  # stands beside every share of agreement: the parser decides it, not the teacher
CLOSING = "The answer is"  # the closing sentence of every completion: `The answer is {answer}`
LETTERS = "ABCDEFGH"
MAX_TEXT = 100_000  # characters at the end of a text that are read: no student writes more, and all of it is bounded

# No word boundary before a capital T: released texts lost line breaks ("= 2The answer is 2").
# "The answer is 1500 (incorrect, answer should be 1275)"; "the answer should be in metres" concludes nothing.
_SHOULD_BE = r"should be:? (?=\W{0,8}(?:\d|[A-E]\b|[Tt]rue\b|[Ff]alse\b|frac))"
_CONCLUSION = re.compile(rf"(?:The|(?<!\bsay )\bthe) (?:final |correct )?answer (?:is:?|{_SHOULD_BE})")
_CORRECTION = re.compile(rf"answer {_SHOULD_BE}")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_OPERATOR_FOLLOWS = re.compile(r"\s*[-−+*/x×÷^]\s*[\d$({]")
_OPERAND = re.compile(r"(?:[\d)}\]]|(?<![\w'’\\])[b-z])[^\S\n]*\Z")  # before a minus: "(y - 10)" says no -10
_ASIDE = re.compile(r"(?<=[\w%])\s+\(")  # "4000 (and not 3000)"
# "The answer is not C", "is none of these", "is 360, but this is wrong", "34 is likely incorrect", "46 hours (must be
# incorrect)"; "120 (not 85)" denies another number.
_DENIED = re.compile(
    r"\W*(?:likely )?(?:not|incorrect|wrong|none)\b"
    r"|[^.\n(]{0,25}\((?!not\b)[^.\n\d)]{0,20}\b(?:incorrect|wrong|not correct)\b"
    r"|[^.\n]{0,25}?(?:,? (?:but|which|was|is)\b)[^.\n]{0,20}\b(?:incorrect|wrong)\b"
    r"|\W*(?:\w+\s){0,3}not (?:given|listed|available|provided|consistent)\b",
    re.IGNORECASE,
)
_STATES = re.compile(r"(?:\b(?:is|are)\b|[=:≈])\W{0,8}\Z")
_GOES_ON = re.compile(r",(?:\s+[a-z]+){3}")  # "The answer is $3003$, take the remainder when …": not yet

# "(B)", "Option B", "B: 1/2", "<answer> B", "isD", "E=10"; in "A large one" the A is an article, in "E's" the E is a
# name. A letter in small type counts where it is all there is. The benchmarks have five options at most.
_LETTER = r"([A-E])(?![A-Za-z]|['’]s)(?!(?<=A) (?!is\b)[a-z])"
_BOX = r"\\(?:boxed|text(?:bf)?|mathrm|mathbf)\b"
LEADING_LETTER = re.compile(rf"(?:(?i:option|choice|answer|spoiler|reveal|is)|{_BOX}|\W)*{_LETTER}")
_SMALL_LETTER = re.compile(rf"(?:(?i:option|choice)|{_BOX}|\W)*([a-e])\W*$")
_LATER_LETTER = re.compile(r"\(([A-E])\)|[=.:]\s*([A-E])\W*$")  # "The answer is 4 (C)", "is 7=D"
_LONE_LETTER = re.compile(r"(?<![\w'’-])[A-E](?!\w|['’]s|-\w)(?!(?<=A) (?!(?:is|and|or)\b)\w)")
_TRUTH = {"true": "True", "yes": "True", "false": "False", "no": "False"}
_NOT = re.compile(rf"(?:{_BOX}|\W)*(?:not\b(?:{_BOX}|\W)*)?", re.IGNORECASE)  # before a denied answer
LEADING_TRUTH = re.compile(rf"(?:{_BOX}|\W)*(true|false|yes|no)\b", re.IGNORECASE)
# In "No dog flies" and "no dogs" the no is a determiner, in "a plain 'yes' or 'no'" neither is an answer.
_LONE_TRUTH = re.compile(r"\b(?:[Tt]rue|TRUE|[Ff]alse|FALSE|Yes|YES|(?:yes|[Nn]o|NO)(?=[.,;:!*)]|\s*$))\b")
# What stands around a number that is no dress of it: a variable, another number, an operator, a LaTeX command.
_NO_DRESS_BEFORE = re.compile(r"\d|(?<![\\A-Za-z])[^\W\d_]")
_NO_DRESS_BEHIND = re.compile(r"[\d=^+/<>√]|\*\s*[\w(]|\s[-−]|\b[xyz]\b|\\(?!text|mbox|mathrm|circ)[A-Za-z]")


def extract(text: str, kind: Kind, *, strict: bool) -> str | None:
    """Return the answer that `text` concludes with, or None where it concludes nothing.

    The last conclusion counts; of a text the last `MAX_TEXT` characters are read. `strict` requires the closing
    sentence ("The answer is 18"); otherwise a text without one gives its last number, letter, truth value or LaTeX,
    and one that denies its answer the last behind it ("The answer is not 40, it's 50"). In "The answer is 12 + 6 = 18"
    the value behind the last `=` counts; an expression left unworked ("The answer is 84 - 52") is no conclusion where
    a number is wanted.
    """
    text = text[-MAX_TEXT:]
    conclusion = last_conclusion(text)
    if conclusion:
        concluded = stated_answer(text[conclusion.end() :].lstrip(), kind)
        if concluded is not None or strict:
            return concluded
        if _DENIED.match(text, conclusion.end()):
            text = _behind_denied(text[conclusion.end() :], kind)
    return None if strict else _last(text, kind)


def denies(text: str) -> bool:
    """Whether the last conclusion of `text` is denied or taken back."""
    conclusion = last_conclusion(text)
    return conclusion is not None and _DENIED.match(text, conclusion.end()) is not None


def normalise(answer: str, kind: Kind) -> str | None:
    """Return the canonical form of an answer (`$1,450.0` → `1450`, `Option B.` → `B`), or None where it is none."""
    answer = answer[:MAX_TEXT]
    if kind == "number":
        return normalise_number(answer) or _dressed_number(answer)
    if kind == "math":
        return latex.canonical(answer) or None
    return stated_answer(answer.strip(), kind)


def equivalent(a: str, b: str, kind: Kind) -> bool:
    """Whether two answers are the same (`1/2` and `0.50` are), whatever their dress."""
    if kind == "number":
        first, second = normalise(a, kind), normalise(b, kind)
        if first is None or second is None:
            return False
        return first == second or number_value(first) == number_value(second)
    if kind == "math":
        return latex.equivalent(a, b)
    return normalise(a, kind) == normalise(b, kind) is not None


def last_conclusion(text: str) -> re.Match[str] | None:
    """Return the last conclusion or correction, looked for from the end: a text is long, and is read several times."""
    end = len(text)
    while (at := text.rfind("answer ", 0, end)) >= 0:
        start = text.rfind("he ", max(0, at - len("he correct ")), at) - 1
        if found := (start >= 0 and _CONCLUSION.match(text, start)) or _CORRECTION.match(text, at):
            return found
        end = at
    return None


def stated_answer(behind: str, kind: Kind) -> str | None:
    """Return the answer of a closing sentence from the text behind its "The answer is"."""
    if _DENIED.match(behind):
        return None
    if kind == "math":
        expression, rest = latex.leading_expression(behind)
        return None if _GOES_ON.match(rest) else latex.conclude(expression)
    sentence = SENTENCE_END.split(behind, maxsplit=1)[0]
    if kind == "number":
        return _first_number(_ASIDE.split(sentence, maxsplit=1)[0].rpartition("=")[2])
    if kind == "boolean":
        truth = LEADING_TRUTH.match(sentence)
        return _TRUTH[truth[1].lower()] if truth else None
    letter = LEADING_LETTER.match(sentence) or _SMALL_LETTER.match(sentence) or _LATER_LETTER.search(sentence)
    return letter[letter.lastindex or 1].upper() if letter else None


def _first_number(expression: str) -> str | None:
    number = NUMBER.search(expression)
    if number is None or _OPERATOR_FOLLOWS.match(expression, number.end()):
        return None
    return normalise_number(number[0])


def _dressed_number(answer: str) -> str | None:
    r"""Return the number that an answer is but for its dress: `**18**`, `\boxed{18}`, `18 dollars`, `50%`."""
    number = NUMBER.search(answer)
    if number is None or _NO_DRESS_BEFORE.search(answer, 0, number.start()):
        return None
    return None if _NO_DRESS_BEHIND.search(answer, number.end()) else normalise_number(number[0])


def _behind_denied(text: str, kind: Kind) -> str:
    """Return what stands behind the denied answer that `text` begins with; all of it where none is named."""
    denied, lead = _lone(kind).search(text), _NOT.match(text)
    return text[denied.end() :] if denied and lead and denied.start() <= lead.end() else text


def _lone(kind: Kind) -> re.Pattern[str]:
    return _LONE_LETTER if kind == "choice" else _LONE_TRUTH if kind == "boolean" else NUMBER


def _last(text: str, kind: Kind) -> str | None:
    """Return the last answer of its kind that stands alone in `text`."""
    if kind == "math":
        text = latex.without_drawings(text)
        if (boxed := latex.last_boxed(text)) is not None:
            return latex.tidy(boxed) or None
    if (last := _last_lone(text, kind)) is None:
        return None
    if kind == "choice":
        return last[0]
    if kind == "boolean":
        return _TRUTH[last[0].lower()]
    if kind == "math" and (answer := _formula_about(text, last)) is not None:
        return answer
    is_difference = last[0][0] in "-−" and _OPERAND.search(text[max(0, last.start() - 8) : last.start()])
    return None if is_difference else normalise_number(last[0])


def _last_lone(text: str, kind: Kind) -> re.Match[str] | None:
    """Return the last lone answer, looked for line by line from the end: no pattern looks beyond its line."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        for last in deque(_lone(kind).finditer(text, start, end), maxlen=1):
            return last
        end = start - 1
    return None


def _formula_about(text: str, number: re.Match[str]) -> str | None:
    """Return the answer of the last formula where it holds `number`, or where `number` only describes that answer.

    "Thus $36$ is the least perfect square divisible by both 2 and 3."
    """
    if (formula := latex.last_formula(text)) is None:
        return None
    start, end, answer = formula
    if answer is None or number.start() < start:
        return None
    if number.start() < end:
        return answer if re.search(r"\d", answer) else None
    between = text[end : number.start()]
    describes = SENTENCE_END.search(between) is None and _STATES.search(between[-20:]) is None
    return answer if describes and number_value(answer) is not None else None

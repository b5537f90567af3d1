"""Where a text concludes, and the answer that it gives there.

>>> find_closing("Leaves are green. The answer is Option (C).", "choice")
Closing(start=18, end=31, answer='C', denied=False, is_sentence=True)
>>> find_closing("12 + 6 = 18\\n#### 18", "number").answer
'18'
"""

import re
from typing import Literal, NamedTuple

from . import latex
from .formulas import clean, last_boxed, leading_expression
from .numbers import NUMBER, normalize_number, number_in
from .tidying import tidy


Kind = Literal["number", "choice", "boolean", "math"]

LETTERS = "ABCDEFGHIJ"
BOXES = (r"\boxed{", r"\fbox{")
_MARKS = ("####", "<answer>", *BOXES)
MAX_TEXT = 100_000  # characters; only the end of a longer text is read, which bounds the time of every search

# There is no word boundary before a capital T, because released texts lost line breaks ("= 2The answer is 2").
# "should be" must precede an answer, as in "1500 (incorrect, answer should be 1275)", but not "should be in meters".
_SHOULD_BE = r"should be:? (?=\W{0,8}(?:\d|[A-E]\b|[Tt]rue\b|[Ff]alse\b|frac))"
_CLOSING_PHRASE = re.compile(rf"(?:The|(?<!\bsay )\bthe) (?:final |correct )?answer (?:is:?|{_SHOULD_BE})")
_CORRECTION = re.compile(rf"answer {_SHOULD_BE}")
_LABEL = re.compile(
    r"(?<!\bsay the )(?<!\bbut )(?:(?<![A-Za-z])|(?<=\\n))(?:(?:final|correct) )?answers?(?:\*\*)?(?:\s+is\b|\s*[:=])",
    re.IGNORECASE,
)
_MAX_LABELS = 20  # occurrences of "answer" that are tried
SENTENCE_END = re.compile(r"(?<!\bapprox)[.!?](?=\s|$)|\n")
_SECOND_NUMBER = re.compile(r"\s*(?:and|or|to)\s+\\?\$?\d")
_OPERATOR_OR_NUMBER = re.compile(rf"\s*[-−+*/x×÷^]\s*[\d$({{]|{_SECOND_NUMBER.pattern}")
_PARENTHESIS = re.compile(r"(?<=[\w%])\s+\(")  # "4000 (and not 3000)"
# What follows "The answer is" where the text rejects its own answer: "not C", "none of these", "360, but this is
# wrong", "34 is likely incorrect", "46 hours (must be incorrect)". "120 (not 85)" rejects only the 85, and "B because
# A is wrong" only the A.
_REJECTION = re.compile(
    r"\W*(?:likely )?(?:not|incorrect|wrong|none|neither)\b"
    r"|[^.\n(]{0,25}\((?!not\b)[^.\n\d)]{0,20}\b(?:incorrect|wrong|not correct)\b"
    r"|(?:(?!\b(?:because|since|as|while)\b)[^.\n]){0,25}?,? (?:but|which|was|is)\b[^.\n]{0,20}\b(?:incorrect|wrong)\b"
    r"|\W*(?:\w+\s){0,3}not (?:given|listed|available|provided|consistent)\b",
    re.IGNORECASE,
)
_REJECTING = ("not", "wrong", "incorrect", "none", "neither")  # a rejection has one; this is quicker than the pattern
_HEADING = re.compile(r"[A-Za-z]{2}")  # "#### Step 2"
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:about|approximately|approx|minus)\b)[A-Za-z]{2,}")
_CONTINUATION = re.compile(r",(?:\s+[a-z]+){3}")  # "The answer is $3003$, take the remainder when …" is not final

# Matches "(B)", "Option B", "B: 1/2", "<answer> B", "isD" and "E=10", but not the name in "E's", and the pronoun I and
# the letters of other benchmarks (F to J) only where they are a word.
_LETTER = r"((?:[A-E](?![A-Za-z])|[F-HJ](?!\w)|I(?!\w| [a-z]))(?!['’]s))"
_BOX = r"\\(?:boxed|text(?:bf)?|mathrm|mathbf)\b"
LEADING_LETTER = re.compile(rf"(?:(?i:option|choice|answer|spoiler|reveal|is)|{_BOX}|\W)*{_LETTER}")
_SECOND_LETTER = re.compile(r"\)?\s*(?:/|,|\bor\b|\bnor\b)\s*(?:or\s+)?\(?[A-J]\b(?!['’])")  # "B/C" chooses neither
# A lowercase letter counts only if nothing else follows it.
LOWERCASE_LETTER = re.compile(rf"(?:(?i:option|choice)|{_BOX}|\W)*([a-j])\W*$")
_TRAILING_LETTER = re.compile(r"\(([A-E])\)|[=.:]\s*([A-E])\W*$")  # "The answer is 4 (C)", "is 7=D"
BOOLEANS = {"true": "True", "yes": "True", "false": "False", "no": "False"}
LEADING_BOOLEAN = re.compile(rf"(?:{_BOX}|\W)*(true|false|yes|no)\b", re.IGNORECASE)

_NEW_QUESTION = re.compile(r"\n\s*(?:Question|Q) ?\d*:")  # a base model continues its prompt


class Closing(NamedTuple):
    """The span of "The answer is" or of another mark (`####`, `<answer>`, `Answer:`, a box), and what follows it.

    `denied` tells whether the text rejects its own answer there ("The answer is not C").
    """

    start: int
    end: int
    answer: str | None
    denied: bool
    is_sentence: bool


def find_closing(text: str, kind: Kind) -> Closing | None:
    """Return the last closing sentence of `text` ("The answer is 18"), else its conclusion in another layout, or None.

    Only the text behind `</think>` is read, the last `MAX_TEXT` characters of it, and nothing behind a question that a
    model added after its answer.
    """
    start, end = conclusion_span(text)
    closing = find_closing_in(text[start:end], kind)
    return closing and closing._replace(start=start + closing.start, end=start + closing.end)


def find_closing_in(text: str, kind: Kind) -> Closing | None:
    """Return the same for the part of a text that `conclusion_span` found."""
    has_word = "nswer" in text
    phrase = _last_phrase(text) if has_word else None
    if phrase is None:  # these checks are quick, and most texts have no mark
        return find_layout(text, kind) if has_word or "#" in text or "\\" in text or "NSWER" in text else None
    tail = text[phrase.end() :].lstrip()
    denied = _is_rejected(tail)
    return Closing(phrase.start(), phrase.end(), None if denied else read_answer(tail, kind), denied, True)


def _is_rejected(tail: str) -> bool:
    folded = tail.lower()
    return any(word in folded for word in _REJECTING) and _REJECTION.match(tail) is not None


def conclusion_span(text: str) -> tuple[int, int]:
    """Return the start and the end of the part of a text that can conclude it."""
    start, end = max(0, len(text) - MAX_TEXT), len(text)
    if "<" in text and (thought := text.rfind("</think>", start)) >= 0:
        behind = thought + len("</think>")
        start, end = (behind, end) if text[behind:].strip() else (start, thought)
    if "Q" in text:
        question = _NEW_QUESTION.search(text, start, end)
        if question and _last_phrase(text[start : question.start()]):
            end = question.start()
    return start, end


def _last_phrase(text: str) -> re.Match[str] | None:
    """Search for the last "The answer is" or "answer should be" from the end, because texts are long."""
    end = len(text)
    while (position := text.rfind("answer ", 0, end)) >= 0:
        before = text.rfind("he ", max(0, position - len("he correct ")), position) - 1
        if match := (before >= 0 and _CLOSING_PHRASE.match(text, before)) or _CORRECTION.match(text, position):
            return match
        end = position
    return None


def find_layout(text: str, kind: Kind) -> Closing | None:
    r"""Return the last conclusion in another layout: `#### 18`, `<answer>18</answer>`, `Answer: 18`, `\boxed{18}`.

    A box in the line of an `Answer:` counts only if the text before it has no answer ("Answer: D, since \boxed{E} …").
    """
    # The position that orders a mark, its start, and its end.
    spans = [(at, at, at + len(mark)) for mark in _MARKS if (at := text.rfind(mark)) >= 0]
    if (label := _last_label(text)) is not None:
        line_end = text.find("\n", label.end()) % (len(text) + 1)
        spans = [(label.start() - 1 if label.end() < at < line_end else at, at, behind) for at, _, behind in spans]
        spans.append((label.start(), *label.span()))
    for _, position, behind in sorted(spans, reverse=True):
        if (answer := _marked_answer(text, kind, position, behind)) is not None:
            return Closing(position, behind, answer, False, False)
    return None


def _last_label(text: str) -> re.Match[str] | None:
    stop = len(text)
    for _ in range(_MAX_LABELS):
        stop = max(text.rfind("nswer", 0, stop), text.rfind("NSWER", 0, stop))
        if stop < 1:
            return None
        if label := _LABEL.search(text, max(0, stop - len("correct a")), stop + 20):
            return label
    return None


def _marked_answer(text: str, kind: Kind, position: int, behind: int) -> str | None:
    if text.startswith(BOXES, position):
        boxed = clean(last_boxed(text) or "")
        if kind == "math":
            return latex.answer_in_expression(boxed) or tidy(boxed) or None
        return read_answer(boxed, kind)
    line = text[behind:].partition("</answer>")[0].lstrip(" *:\n")
    if _is_rejected(line) or (kind in ("number", "math") and text[position] == "#" and _HEADING.match(line)):
        return None
    number = NUMBER.search(line) if kind == "number" and "=" not in line else None
    is_far = number is not None and len(_WORD.findall(line, 0, number.start())) > 1  # "Answer: he has more than 5"
    return None if is_far else read_answer(line, kind)


def is_undecided(text: str, kind: Kind) -> bool:
    """Whether a closing sentence names two answers: "18 and 19", "B/C"."""
    sentence = SENTENCE_END.split(text.lstrip(), maxsplit=1)[0]
    pattern, second = (NUMBER.search, _SECOND_NUMBER) if kind == "number" else (LEADING_LETTER.match, _SECOND_LETTER)
    first = pattern(sentence) if kind in ("number", "choice") else None
    return first is not None and second.match(sentence, first.end()) is not None


def read_answer(text: str, kind: Kind) -> str | None:
    """Return the answer at the start of `text`, which follows "The answer is" or another mark, or None."""
    text = clean(text)
    if kind == "math":
        expression, rest = leading_expression(text)
        return None if _CONTINUATION.match(rest) else latex.answer_in_expression(expression)
    if kind == "number" and text.isdecimal():  # as in nearly all closing sentences of the release
        return normalize_number(text)
    if kind == "choice" and len(text) == 1 and text in LETTERS:
        return text
    sentence = SENTENCE_END.split(text, maxsplit=1)[0]
    if kind == "boolean":
        boolean = LEADING_BOOLEAN.match(sentence)
        return BOOLEANS[boolean[1].lower()] if boolean else None
    return _read_number(sentence) if kind == "number" else _read_letter(sentence)


def _read_number(sentence: str) -> str | None:
    expression = _PARENTHESIS.split(sentence, maxsplit=1)[0].rpartition("=")[2]
    number = NUMBER.search(expression)
    if number is None or _OPERATOR_OR_NUMBER.match(expression, number.end()):
        return None
    return number_in(expression, number)


def _read_letter(sentence: str) -> str | None:
    letter = LEADING_LETTER.match(sentence) or LOWERCASE_LETTER.match(sentence) or _TRAILING_LETTER.search(sentence)
    if letter is None or _SECOND_LETTER.match(sentence, letter.end()):
        return None
    return letter[letter.lastindex or 1].upper()

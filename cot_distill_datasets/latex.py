"""LaTeX answers: where they stand in a text, their tidy form, and whether two are the same.

>>> last_boxed(r"so $m = 3$ and $\\boxed{\\frac{1}{2}}$."), tidy(r"$\\dfrac12$.")
('\\\\frac{1}{2}', '\\\\frac{1}{2}')

Equal tidy forms are the same, two different plain numbers are not; the rest math-verify decides, in a process of its
own with a time limit, because a model may write LaTeX that takes for ever.
"""

from __future__ import annotations

import atexit
import json
import re
import subprocess
import sys
import unicodedata
from collections import deque
from contextlib import suppress
from fractions import Fraction
from functools import cache, lru_cache
from typing import Literal

from .numerals import normalise_number, number_value, spell_out
from .taxonomy import CotDistillError


Verdict = Literal["same", "other", "timeout"]

MAX_LENGTH = 300  # characters; what is longer is no answer
CACHED = 20_000  # answers and pairs of at most that length: less than 100 MB

_OPENERS = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_END = re.compile(r"[.!?](?=\s|$)|\n|</|\\n")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
# A formula; "$5 and $7" are prices. None is longer than `MAX_LENGTH`, so that one left open costs no more.
_FORMULA = re.compile(
    r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]|\$\$([^$]{1,300})\$\$|\$(?![\s$])([^$]{1,300})(?<!\s)\$(?!\d)", re.DOTALL
)
_RELATION = re.compile(r"\\(?:approx|to|(?:Long)?rightarrow|(?:Long)?Rightarrow|implies)(?![A-Za-z])")
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_THIN_COMMA = re.compile(r",[\u202f\u2009\xa0]")  # "11,\u202f880"
_SPACING = re.compile(r"\\left\b|\\right\b|\\[!,;:]|\\ |~|\\displaystyle")
_SIGNS = re.compile(r"\\?\(degrees?\)|\^\s*\\circ\b|(?<=\d)\\circ\b|\^\s*\{\\circ\}|°|\\?%|\\\$|\$|\\[\[\]()]")
_UNIT = re.compile(
    r"(?<=[\d})])(?:\s*\\(?:text|mbox|mathrm|textnormal)\s*\{[^{}]*(?:\}|\Z)|\s*[A-Za-z]{2,}(?:[\s.]+[A-Za-z]{2,})*[\s.]*)"
    r"(?:\^\{?\d\}?)?$"
)
_WRAPPED = re.compile(r"\\(?:text|mbox|mathrm|textbf|textnormal)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]frac")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
_SLASH = re.compile(r"(-?)(\d+)\s*/\s*(\d+)")
_NAMED = re.compile(r"[A-Za-z]\s*=\s*(.+)")
_SPACE = re.compile(r"\s")
_BASE = re.compile(r"(?<=\d)_\{?(\d+)\}?")
_ADVERB = re.compile(r"(?:therefore|thus|then|just|simply|equal to)\s+")
_ARTICLE = re.compile(r"(?:an?|the)\s")
_NAMELESS = re.compile(r"correct|un(?:known|clear)", re.IGNORECASE)  # "Let's assume the answer is correct."
_TERM = re.compile(r"(.*[\d}])([A-Za-z])")  # "2s"; the m of "2 m" is a unit
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_MOST_PASSES = 10  # nobody's answer needs more than three
_MOST_WORDS = 2  # "October 30", "square inches"; more is prose, not an answer


def last_boxed(text: str) -> str | None:
    r"""Return what the last `\boxed{…}` of `text`, outside drawings, holds, its braces balanced, or None."""
    text = without_drawings(text)
    boxes = list(_BOXED.finditer(text))
    return _balanced(text[boxes[-1].end() :]) if boxes else None


def without_drawings(text: str) -> str:
    """Return a text of MATH without the code of its drawings (`[asy]…[/asy]`)."""
    return _DRAWING.sub("", text)


def last_formula(text: str) -> tuple[int, int, str | None] | None:
    """Return where the last formula of `text` (`$…$`, `\\(…\\)`) begins and ends, and the answer it states."""
    formulas = deque(_FORMULA.finditer(text), maxlen=1)
    for formula in formulas:
        side = _RELATION.split(formula[formula.lastindex or 0])[-1]
        return formula.start(), formula.end(), conclude(side.strip().rstrip(".,\\ "))
    return None


def leading_expression(text: str) -> tuple[str, str]:
    """Return the expression that `text` (what follows "The answer is") begins with, and what comes behind it.

    It ends with its closing `$`, or with the line or the sentence.
    """
    opener = next((opener for opener in _OPENERS if text.startswith(opener)), None)
    if (boxed := _BOXED.match(text)) is not None:
        expression = _balanced(text[boxed.end() :]) or ""
        return expression, text[boxed.end() + len(expression) + 1 :]
    if opener is not None:
        expression, _, behind = text[len(opener) :].partition(_OPENERS[opener])
        return expression, behind
    expression, *rest = _END.split(text, maxsplit=1)
    return expression, "".join(rest)


def conclude(expression: str) -> str | None:
    """Return the answer that an expression states, tidy: of a chain of equations the last side; None of prose."""
    inner = last_boxed(expression)
    side = _last_side(expression if inner is None else inner)
    answer = tidy(_ADVERB.sub("", side.rpartition(", or ")[2].strip()[: MAX_LENGTH + 1]))
    is_prose = _ARTICLE.match(answer) is not None or len(_PLAIN_WORD.findall(answer)) > _MOST_WORDS
    return None if is_prose or not answer or _NAMELESS.fullmatch(answer) else answer


def canonical(answer: str) -> str:
    r"""Return an answer as the closing sentence has it: without outer `$`, spacing, units, or `k=` before a number."""
    plain = (
        unicodedata.normalize("NFKC", spell_out(_THIN_COMMA.sub(",", answer))).strip().strip("$<>›*").rstrip(".,;: ")
    )
    plain = _UNIT.sub("", _SPACING.sub("", plain).replace("{,}", ",").strip()).strip()
    if (wrapped := _WRAPPED.fullmatch(plain)) is not None:
        plain = wrapped[1].strip()
    if (named := _NAMED.fullmatch(plain)) is not None and normalise_number(named[1]) is not None:
        plain = named[1]
    return _plain_number(plain) or plain


def tidy(answer: str) -> str:
    """Return an answer as it is compared: canonical, without degree, percent and dollar signs; empty where it is none.

    What is longer than `MAX_LENGTH` is none.
    """
    return _tidy(answer) if len(answer) <= MAX_LENGTH else ""


@lru_cache(CACHED)
def _tidy(answer: str) -> str:
    for _ in range(_MOST_PASSES):  # taking one thing away may lay another bare; what was tidied must be tidy
        tidied = _tidied(answer)
        if tidied == answer:
            return tidied if len(tidied) <= MAX_LENGTH else ""
        answer = tidied
    return ""


def _tidied(answer: str) -> str:
    plain = _FRACTION.sub(r"\\frac", _SIGNS.sub("", canonical(answer))).replace("⁄", "/").replace("−", "-")
    plain = _WRAPPED.sub(r"\1", _UNIT.sub("", plain.strip()))
    plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", re.sub(r"√(\d+)", r"\\sqrt{\1}", plain)).strip()
    if (number := _plain_number(plain)) is not None and "/" not in number:
        return number
    if (slash := _SLASH.fullmatch(plain)) is not None:
        return rf"{slash[1]}\frac{{{slash[2]}}}{{{slash[3]}}}"
    return re.sub(r"\s+", " ", plain)


def equivalent(a: str, b: str) -> bool:
    """Whether two LaTeX answers are the same; one without a verdict is not (`verdict`)."""
    return verdict(a, b) == "same"


def verdict(a: str, b: str) -> Verdict:
    r"""Judge two LaTeX answers: `same`, `other`, or `timeout` where the judge took too long or too much and was ended.

    Several values (`1,2`) and sets are the same in any order: MATH asks for all solutions, separated by commas.
    Points, tuples and intervals are not. A base is part of its number (`3120_4` is not `3120`), and ratios are
    compared as they stand (`22:4` is not `11:2`): the questions ask for lowest terms.

    Each pair is judged once. A time-out is kept too: its limit is the processor's time, and the same pair would take
    it again. Where only the clock ran out, because the machine was busy, the next asking judges anew.
    """
    try:
        return _verdict(tidy(a), tidy(b))
    except TimeoutError:
        return "timeout"


@lru_cache(CACHED)
def _verdict(a: str, b: str) -> Verdict:
    terms = _term(a), _term(b)
    if None not in terms:
        return "same" if terms[0] == terms[1] else "other"
    first, second = (_SPACE.sub("", side) for side in (a, b))
    if first == second or not (first and second):
        return "same" if first == second != "" else "other"
    if _BASE.findall(first) != _BASE.findall(second) or (":" in first and ":" in second):
        return "other"
    return _judge(a, b)


def _plain_number(plain: str) -> str | None:
    return None if "\\" in plain else normalise_number(plain)  # `\\frac{2}{4}` stays as it was written


def _term(side: str) -> tuple[Fraction, str] | None:
    """Return a number with the variable behind it, if any; math-verify holds some letters for units (`2s`, `7m`)."""
    number, letter = term.groups() if (term := _TERM.fullmatch(side)) else (side, "")
    value = number_value(number)
    return None if value is None else (value, letter)


def _last_side(expression: str) -> str:
    r"""Return what stands behind the last `=` of a chain of equations; one inside braces (`\sum_{k=0}`) is none."""
    depth = 0
    for position in range(len(expression) - 1, -1, -1):
        depth += (expression[position] == "}") - (expression[position] == "{")
        if expression[position] == "=" and depth == 0:
            return expression[position + 1 :]
    return expression


def _balanced(text: str) -> str | None:
    depth = 1
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:position]
    return None


def _judge(a: str, b: str) -> Verdict:
    """Ask the worker; where it is dead it is replaced.

    Raises:
        TimeoutError: the clock ran out before the worker's own time did.
    """
    if _worker().poll() is not None:  # somebody killed it
        _stop()
    worker = _worker()
    assert worker.stdin and worker.stdout
    with suppress(BrokenPipeError):  # it died just now
        worker.stdin.write(json.dumps([a, b]) + "\n")
        worker.stdin.flush()
    said = worker.stdout.readline().strip()
    if said == "busy":
        raise TimeoutError
    return "same" if said == "same" else "other" if said == "other" else "timeout"


@cache
def _worker() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cot_distill_datasets.latex_worker"]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert worker.stdout
    if not worker.stdout.readline():  # "ready": its imports are no part of a pair's time
        raise CotDistillError("The judge of LaTeX did not start: see its own message above, and `pip check`.")
    return worker


@atexit.register
def _stop() -> None:
    """End the worker, if there is one."""
    if _worker.cache_info().currsize:
        worker = _worker()
        _worker.cache_clear()
        worker.kill()
        with suppress(BrokenPipeError):  # what it had not read
            worker.communicate()

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
import select
import subprocess
import sys
import unicodedata
from functools import cache, lru_cache

from .numerals import normalise_number, number_value


TIME_LIMIT = 1.0  # seconds for one pair
MAX_LENGTH = 300  # characters; a longer answer is compared as text only

_OPENERS = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_END = re.compile(r"[.!?](?=\s|$)|\n|</|\\n")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_SPACING = re.compile(r"\\left\b|\\right\b|\\[!,;:]|\\ |~|\\displaystyle")
_SIGNS = re.compile(r"\^\s*\\circ\b|\^\s*\{\\circ\}|°|\\?%|\\\$|\$|\\[\[\]()]")
_UNIT = re.compile(
    r"(?<=[\d})])(?:\s*\\(?:text|mbox|mathrm|textnormal)\s*\{[^{}]*\}|\s*[A-Za-z]{2,}(?:[\s.]+[A-Za-z]{2,})*[\s.]*)"
    r"(?:\^\{?\d\}?)?$"
)
_WRAPPED = re.compile(r"\\(?:text|mbox|mathrm|textbf|textnormal)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]frac")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
_SLASH = re.compile(r"(-?)(\d+)\s*/\s*(\d+)")
_NAMED = re.compile(r"[A-Za-z]\s*=\s*(.+)")
_ADVERB = re.compile(r"(?:therefore|thus|then|just|simply|equal to)\s+")
_ARTICLE = re.compile(r"(?:an?|the)\s")
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_MOST_WORDS = 2  # "October 30", "square inches"; more is prose, not an answer


def last_boxed(text: str) -> str | None:
    r"""Return what the last `\boxed{…}` of `text`, outside drawings, holds, its braces balanced, or None."""
    text = without_drawings(text)
    boxes = list(_BOXED.finditer(text))
    return _balanced(text[boxes[-1].end() :]) if boxes else None


def without_drawings(text: str) -> str:
    """Return a text of MATH without the code of its drawings (`[asy]…[/asy]`)."""
    return _DRAWING.sub("", text)


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
    answer = tidy(_ADVERB.sub("", side.rpartition(", or ")[2].strip()))
    is_prose = _ARTICLE.match(answer) is not None or len(_PLAIN_WORD.findall(answer)) > _MOST_WORDS
    return None if is_prose or not answer else answer


def canonical(answer: str) -> str:
    r"""Return an answer as the closing sentence has it: without outer `$`, spacing, units, or `k=` before a number."""
    plain = unicodedata.normalize("NFKC", answer.replace(",\u202f", ",")).strip().strip("$<>›*").rstrip(".,;: ")
    plain = _UNIT.sub("", _SPACING.sub("", plain).replace("{,}", ",").strip()).strip()
    if (wrapped := _WRAPPED.fullmatch(plain)) is not None:
        plain = wrapped[1].strip()
    if (named := _NAMED.fullmatch(plain)) is not None and normalise_number(named[1]) is not None:
        plain = named[1]
    return normalise_number(plain) or plain


@lru_cache(100_000)
def tidy(answer: str) -> str:
    """Return an answer as it is compared: canonical, without degree, percent and dollar signs."""
    plain = _FRACTION.sub(r"\\frac", _SIGNS.sub("", canonical(answer))).replace("⁄", "/")
    plain = _WRAPPED.sub(r"\1", _UNIT.sub("", plain.strip()))
    plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", re.sub(r"√(\d+)", r"\\sqrt{\1}", plain)).strip()
    if (number := normalise_number(plain)) is not None and "/" not in number:
        return number
    if (slash := _SLASH.fullmatch(plain)) is not None:
        return rf"{slash[1]}\frac{{{slash[2]}}}{{{slash[3]}}}"
    return re.sub(r"\s+", " ", plain)


@lru_cache(100_000)
def equivalent(a: str, b: str) -> bool:
    """Whether two LaTeX answers are the same; a pair that takes longer than `TIME_LIMIT` is not."""
    first, second = (re.sub(r"\s", "", tidy(side)) for side in (a, b))
    if first == second:
        return first != ""
    values = number_value(first), number_value(second)
    if None not in values:
        return values[0] == values[1]
    if max(len(first), len(second)) > MAX_LENGTH:
        return False
    return _judge(tidy(a), tidy(b))


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


def _judge(a: str, b: str) -> bool:
    """Ask the worker; where it does not answer in time it is replaced."""
    if _worker().poll() is not None:  # somebody killed it
        _worker.cache_clear()
    worker = _worker()
    assert worker.stdin and worker.stdout
    worker.stdin.write(json.dumps([a, b]) + "\n")
    worker.stdin.flush()
    in_time, _, _ = select.select([worker.stdout], [], [], TIME_LIMIT)
    verdict = worker.stdout.readline() if in_time else ""
    if not verdict:  # too slow, or dead of what it read
        _stop(worker)
        _worker.cache_clear()
    return verdict == "same\n"


@cache
def _worker() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cot_distill_datasets.latex_worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_stop, worker)
    assert worker.stdout
    worker.stdout.readline()  # ready: its imports are no part of a pair's time
    return worker


def _stop(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.communicate()

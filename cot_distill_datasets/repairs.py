"""Repairs of the paper's files: each a named rule, applied to a text or a gold; the name goes to the row's `flags`.

>>> repair_text("P = \\x0crac{1}{2}, \\times 3</Solution Path>".replace("\\\\t", "\\t"))
('P = \\\\frac{1}{2}, \\\\times 3', ['latex_escape', 'solution_path'])

What each is and how often it was needed is in the dataset card.
"""

from __future__ import annotations

import re

from .answers import CLOSING, Kind, extract, normalise
from .latex import last_boxed, without_drawings


# Every flag that says "this was changed", and what was changed. `build` counts them over the rows read.
REPAIRS = {
    "latex_escape": "LaTeX that JSON escapes destroyed was restored (a form feed and `rac` is `\\frac`)",
    "double_escape": "LaTeX commands written with two backslashes (`\\\\pi`) were given one",
    "line_break": "a line break written as `\\n`, or as a bare backslash, was restored",
    "solution_path": "`<Solution Path>` tags of the teacher's prompt were taken out",
    "prompt_tag": "other remains of the teacher's prompt were taken out (`Solution Path:`, `<answer>`)",
    "cut_gold": "a MATH gold that was cut at its first `}` was completed from the solution",
    "gold_form": "a gold with other text around it (`C.`, `Option B`, an explanation) was brought to its bare form",
    "trailing_zero": "a whole number written as `145.0` closes as `145`",
    "missing_closing": "the text did not end with a closing sentence; one was added",
    "doubled_closing": "the text closed twice or more with the same answer; once is left",
    "gold_appended": "a gold stood behind the teacher's own, different conclusion; the teacher's answer is its own",
}

# What JSON made of the backslash and first letter of a command, and the rests of the real commands it may have been.
# After a tab or a line break only rests that are no words: a line that begins `e = 15` or `mid` is left alone.
_RESTS = {
    "\b": "inom ar egin oxed eta mod ullet igl igr igcup igcap ecause",
    "\f": "rac orall",
    "\n": "eq abla ot otin",
    "\r": "ight ightarrow ceil floor angle brace ho",
    "\t": "imes riangle o ext extnormal extbf extit heta frac herefore ilde",
}
_LETTERS = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_DESTROYED = re.compile(
    "|".join(f"{control}(?=(?:{'|'.join(rests.split())})(?![A-Za-z]))" for control, rests in _RESTS.items())
)
_DESTROYED_NE = re.compile(r" ?\n ?e (?=[^$\n]{1,40}\$)")  # `\\ne`, but only inside a formula
_WRITTEN_BREAK = re.compile(r"(?<!\\)\\+n(?![a-z])")
_BARE_BREAK = re.compile(r"(?<=[.!?])[ \t]?\\(?:[ \t]+(?=[A-Z$])|\s*\Z)")  # "6 units.\\ The second triangle"
_DOUBLED = re.compile(r"(?<!\\)\\{2,}(?=[A-Za-z]{2,}|[!$:;,%{}()])")
_SOLUTION_PATH = re.compile(r"[ \t]*</?(?:step-by-step )?solution path>[ \t]*", re.IGNORECASE)
_TAG = re.compile(r"[ \t]*</?(?:answer|explanation|conclusion|final answer|br ?/?)>[ \t]*", re.IGNORECASE)
_LABEL = re.compile(r"\A\W*(?:step-by-step )?solution path\s*[:>]\s*|\A\W*step-by-step solution:\s*", re.IGNORECASE)
_FRAMED_CLOSING = re.compile(rf"<({CLOSING} [^<>]*)>", re.IGNORECASE)
# What an explanation behind a gold says of it: "… (ANSWERB", "Hence option A is the greatest", "so D".
_EXPLAINED = re.compile(
    r"(?i:\banswer|\bans|\boption|\bchoice|\bso)\W*(?i:is|should be|must be)?\W*"
    r"([A-E])(?![A-Za-z'’+*/=-])(?! ?[+*/=-])"
)
_TRAILING_ZERO = re.compile(r"-?[\d,]+\.0+")


def repair_text(text: str) -> tuple[str, list[str]]:
    """Return a question or response as its writer meant it, stripped, and the names of the repairs it needed."""
    repairs = []
    if "\\" in text or not text.isprintable():
        restored = _DESTROYED.sub(lambda control: "\\" + _LETTERS[control[0]], text)
        restored = _DESTROYED_NE.sub(_restored_ne, restored)
        repairs += ["latex_escape"] if restored != text else []
        broken = _WRITTEN_BREAK.sub("\n", restored)
        text = broken
        if r"\begin{" not in broken:  # where two backslashes end a row of a table or of equations
            broken = _BARE_BREAK.sub("\n", broken)
            text = _DOUBLED.sub(r"\\", broken)
        repairs += ["line_break"] if broken != restored else []
        repairs += ["double_escape"] if text != broken else []
    if "<" in text or "olution" in text[:40]:
        untagged = _SOLUTION_PATH.sub(" ", text)
        repairs += ["solution_path"] if untagged != text else []
        text = _FRAMED_CLOSING.sub(r"\1", _TAG.sub(" ", _LABEL.sub("", untagged)))
        repairs += ["prompt_tag"] if text != untagged else []
    return text.strip(), repairs


def _restored_ne(found: re.Match[str]) -> str:
    is_in_formula = found.string.count("$", 0, found.start()) % 2 == 1
    return r" \ne " if is_in_formula else found[0]


def repair_gold(gold: str, kind: Kind, solution: str | None = None) -> tuple[str | None, list[str]]:
    r"""Return the canonical gold, or None where the text holds none, and the names of the repairs it needed.

    A MATH gold is completed from the last `\boxed` of the solution where it is a proper prefix of that: so a gold that
    is the first of two boxes stays. A letter that the gold's own explanation contradicts is no gold.
    """
    if kind == "math":
        return _repair_math_gold(gold.strip(), solution or "")
    canonical = normalise(gold, kind) or extract(gold, kind, strict=False)
    if kind == "choice" and any(letter != canonical for letter in _EXPLAINED.findall(gold)):
        canonical = None
    repairs = ["trailing_zero"] if has_trailing_zero(gold) else ["gold_form"] if canonical != gold.strip() else []
    return canonical, repairs if canonical else []


def _repair_math_gold(gold: str, solution: str) -> tuple[str | None, list[str]]:
    boxed, outside = last_boxed(solution), without_drawings(solution)
    if gold in solution and gold not in outside:  # it was taken out of the code of a drawing
        return (normalise(boxed, "math"), ["cut_gold"]) if boxed else (None, [])
    if boxed is not None and boxed.startswith(gold) and boxed != gold:
        return normalise(boxed, "math"), ["cut_gold"]
    canonical = normalise(gold, "math")
    return canonical, ["gold_form"] if canonical not in (None, gold) else []


def has_trailing_zero(conclusion: str) -> bool:
    """Whether a conclusion is a whole number written with decimals."""
    return _TRAILING_ZERO.fullmatch(conclusion.strip().rstrip(".")) is not None

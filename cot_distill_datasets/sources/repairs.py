"""Repairs of the paper's files. Each is a named rule for a text or a gold; its name is added to the row's `flags`.

>>> repair_text("P = \\x0crac{1}{2}, \\times 3</Solution Path>".replace("\\\\t", "\\t"))
('P = \\\\frac{1}{2}, \\\\times 3', ['latex_escape', 'solution_path'])

The dataset card lists the rules with the number of rows that each changed.
"""

import re

from ..grading.answers import CLOSING, extract, normalize
from ..grading.conclusions import Kind
from ..grading.formulas import last_boxed, strip_drawings


# Flag → the change that it records. `build` counts the flags of each config.
REPAIRS = {
    "latex_escape": "LaTeX that was read as a JSON escape was restored (a form feed and `rac` is `\\frac`)",
    "double_escape": "a second backslash before a LaTeX command (`\\\\pi`) was removed",
    "line_break": "a line break written as `\\n` or as a bare backslash was restored",
    "solution_path": "`<Solution Path>` tags of the teacher's prompt were removed",
    "prompt_tag": "other parts of the teacher's prompt were removed (`Solution Path:`, `<answer>`)",
    "thinking_tag": "`<think>` and `</think>` were removed; only the text behind them concludes",
    "calculator_mark": "calculator marks of GSM8K (`<<48/2=24>>`) were removed",
    "cut_gold": "a MATH gold that was truncated at its first `}` was completed from the solution",
    "gold_form": "a gold with other text around it (`C.`, `Option B`, an explanation) was reduced to the answer",
    "trailing_zero": "an integer written as `145.0` was changed to `145` in the closing sentence",
    "missing_closing": "the text did not end with a closing sentence; one was added",
    "doubled_closing": "the text had several closing sentences with the same answer; one was kept",
    "other_layout": "a conclusion in another layout (`#### 18`, `**Answer:** No`) became the closing sentence",
    "gold_appended": "the gold followed a different conclusion of the teacher, which is its `teacher_answer`",
}

# The control character that JSON read for a backslash and the first letter of a command, and the remaining letters of
# the commands that it may have been. After a tab or line break, remainders that are words (`mid`, `e`) are not listed.
_REMAINDERS = {
    "\b": "inom ar egin oxed eta mod ullet igl igr igcup igcap ecause",
    "\f": "rac orall",
    "\n": "eq abla ot otin",
    "\r": "ight ightarrow ceil floor angle brace ho",
    "\t": "imes riangle o ext extnormal extbf extit heta frac herefore ilde",
}
_LETTERS = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_DESTROYED = re.compile(
    "|".join(f"{control}(?=(?:{'|'.join(rests.split())})(?![A-Za-z]))" for control, rests in _REMAINDERS.items())
)
_DESTROYED_NE = re.compile(r" ?\n ?e (?=[^$\n]{1,40}\$)")  # `\\ne`, only inside a formula
_WRITTEN_BREAK = re.compile(r"(?<!\\)\\+n(?![a-z])")
_BARE_BREAK = re.compile(r"(?<=[.!?])[ \t]?\\(?:[ \t]+(?=[A-Z$])|\s*\Z)")  # "6 units.\\ The second triangle"
_DOUBLED = re.compile(r"(?<!\\)\\{2,}(?=[A-Za-z]{2,}|[!$:;,%{}()])")
_MARKS = (  # flag, pattern, what takes its place
    ("calculator_mark", re.compile(r"<<[^<>=]*=[^<>]*>>"), ""),
    # A `</think>` between two texts is left to the reader: only the second text concludes.
    ("thinking_tag", re.compile(r"\s*<think>\s*|\s*</think>\s*\Z"), "\n"),
    ("solution_path", re.compile(r"[ \t]*</?(?:step-by-step )?solution path>[ \t]*", re.IGNORECASE), " "),
)
_TAG = re.compile(r"[ \t]*</?(?:answer|explanation|conclusion|final answer|br ?/?)>[ \t]*", re.IGNORECASE)
_TAGGED_ANSWER = re.compile(rf"({CLOSING}:? +)?<answer>\s*([^<>]*[^<>\s])\s*</answer>", re.IGNORECASE)
_LABEL = re.compile(r"\A\W*(?:step-by-step )?solution path\s*[:>]\s*|\A\W*step-by-step solution:\s*", re.IGNORECASE)
_EMPTY_CLOSING = re.compile(rf"\s+{CLOSING}:?\s*\Z")  # before an `<answer>` without content
_FRAMED_CLOSING = re.compile(rf"<({CLOSING} [^<>]*)>", re.IGNORECASE)
# The letter in an explanation after a gold: "… (ANSWERB", "Hence option A is the greatest", "so D".
_EXPLAINED = re.compile(
    r"(?i:\banswer|\bans|\boption|\bchoice|\bso)\W*(?i:is|should be|must be)?\W*"
    r"([A-E])(?![A-Za-z'’+*/=-])(?! ?[+*/=-])"
)
_TRAILING_ZERO = re.compile(r"-?[\d,]+\.0+")


def repair_text(text: str) -> tuple[str, list[str]]:
    """Return the repaired and stripped text of a question or response, and the names of its repairs."""
    repairs = []
    if "\\" in text or not text.isprintable():
        restored = _DESTROYED.sub(lambda control: "\\" + _LETTERS[control[0]], text)
        restored = _DESTROYED_NE.sub(_restore_ne, restored)
        repairs += ["latex_escape"] if restored != text else []
        broken = _WRITTEN_BREAK.sub("\n", restored)
        text = broken
        if r"\begin{" not in broken:  # in an environment, two backslashes end a row
            broken = _BARE_BREAK.sub("\n", broken)
            text = _DOUBLED.sub(r"\\", broken)
        repairs += ["line_break"] if broken != restored else []
        repairs += ["double_escape"] if text != broken else []
    if "<" in text or "olution" in text[:40]:
        for name, mark, separator in _MARKS:
            unmarked = mark.sub(separator, text)
            repairs += [name] if unmarked != text else []
            text = unmarked
        stated = _TAGGED_ANSWER.sub(_state_answer, text)
        untagged = _FRAMED_CLOSING.sub(r"\1", _TAG.sub(" ", _LABEL.sub("", stated)))
        if untagged != text:
            repairs.append("prompt_tag")
            text = _EMPTY_CLOSING.sub("", untagged)
    return text.strip(), repairs


def _state_answer(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}" if match[1] else f"\n{CLOSING} {match[2]}"


def _restore_ne(match: re.Match[str]) -> str:
    is_in_formula = match.string.count("$", 0, match.start()) % 2 == 1
    return r" \ne " if is_in_formula else match[0]


def repair_gold(gold: str, kind: Kind, solution: str | None = None) -> tuple[str | None, list[str]]:
    r"""Return the canonical gold, or None if the text has none, and the names of its repairs.

    A MATH gold that is a proper prefix of the last `\boxed` of the solution is completed from it, and so is a gold
    that is the first of several boxes, unless these are alternatives (`\boxed{-b+2}` or `\boxed{2-b}`). A letter that
    the gold's own explanation contradicts is rejected.
    """
    if kind == "math":
        return _repair_math_gold(gold.strip(), solution or "")
    canonical = normalize(gold, kind) or extract(gold, kind, strict=False)
    if kind == "choice" and any(letter != canonical for letter in _EXPLAINED.findall(gold)):
        canonical = None
    repairs = ["trailing_zero"] if has_trailing_zero(gold) else ["gold_form"] if canonical != gold.strip() else []
    return canonical, repairs if canonical else []


def _repair_math_gold(gold: str, solution: str) -> tuple[str | None, list[str]]:
    boxed, outside = last_boxed(solution), strip_drawings(solution)
    if gold in solution and gold not in outside:  # it comes from the code of a drawing
        return (normalize(boxed, "math"), ["cut_gold"]) if boxed else (None, [])
    if boxed is not None and boxed.startswith(gold) and boxed != gold and not boxed.startswith(f"{gold} or "):
        return normalize(boxed, "math"), ["cut_gold"]
    canonical = normalize(gold, "math")
    return canonical, ["gold_form"] if canonical not in (None, gold) else []


def has_trailing_zero(conclusion: str) -> bool:
    """Whether a conclusion is an integer written with decimals (`145.0`)."""
    return _TRAILING_ZERO.fullmatch(conclusion.strip().rstrip(".")) is not None

r"""Formulas in texts: boxes (`\boxed{…}`), delimiters (`$…$`), and where the expression of a conclusion ends.

>>> last_boxed(r"so $m = 3$ and $\boxed{\frac{1}{2}}$."), last_boxed(r"\boxed{1} and \boxed{2}")
('\\frac{1}{2}', '1, 2')
"""

import re
from collections import deque


_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
# "$5 and $7" contains prices, not a formula. The limit (`MAX_LENGTH` of an answer) bounds the search for a missing
# delimiter. A formula with spaces inside its dollar signs contains no price.
FORMULA = re.compile(
    r"\\\((.{1,600}?)\\\)|\\\[(.{1,600}?)\\\]|\$\$([^$]{1,600})\$\$"
    r"|\$(?<!\\\$)(?![\s$])([^$]{1,600}(?:(?<=\\)\$[^$]{1,600}){0,9})(?<![\s\\])\$(?!\d)"
    r"|\$(?<!\\\$)[^\S\n]+(?=[^$\n]*[\\^=])((?:\\\$|[^$\n]){1,600}?)[^\S\n]+\$(?!\d)",
    re.DOTALL,
)
_DELIMITERS = {"$$": r"\$\$", "$": r"(?<!\\)\$", r"\[": r"\\\]", r"\(": r"\\\)"}
_OPENER = re.compile(r"\$\$?|\\\[|\\\(")
# Between two formulas of one answer: "$x = 2$ or $x = -3$", "$8$, $4$", "$y_1 = 2x$\n$y_2 = 3x$", "$5 / 5$ !, $6$".
_JOINER = re.compile(r"\s*(!?)\s*(?:([,;]?)\s*(and|or)\b|([,;&])|\n)\s*(?:and\s+)?(?=\$|\\[\[(]|\\(?:boxed|fbox)\b)")
# Between two boxes of one answer there are only such words, signs and delimiters, and names: "and \(y_2 =".
_BETWEEN_BOXES = re.compile(
    r"(?:\s|\$|\\[()\[\]]|[,;&+.]|\\q?quad\b|\\[,;:! ]|\b(?:and|or)\b|\\(?:text|mbox)\s*\{[^{}]*\}|\w+\s*=)*"
)
_FACTORIAL = re.compile(r"\s+!")  # "$5 / 5$ !"
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z!$(\[])")
_INCOMPLETE = re.compile(r"\\[A-Za-z]+|.*[-+*/=^]", re.DOTALL)  # "$\min$ at $x = 1$", "$2x +$ C"
_END = re.compile(r"(?<!\\left)(?<!\\right)(?<!\bapprox)(?<!\\)[.!?](?=\s|$)|\n|</|\\n(?![a-z])")


def clean(text: str) -> str:
    r"""Remove invisible characters, and write `\\frac` as it was before JSON."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    if "\\" in text and "\\\\" in text and r"\begin" not in text:  # in an environment, two backslashes end a row
        text = _DOUBLED.sub(r"\\", text)
    return text


def strip_drawings(text: str) -> str:
    """Remove Asymptote drawings (`[asy]…[/asy]`), which MATH contains, from a text."""
    return _DRAWING.sub("", text) if "[asy]" in text else text


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last box outside drawings, or None.

    Boxes that only `and`, `or`, commas and signs separate are one list: `\boxed{1} and \boxed{2}` is `1, 2`.
    """
    text = strip_drawings(text)
    boxed, end = None, len(text)
    for box in reversed(list(_BOXED.finditer(text))):
        content = _balanced_prefix(text[box.end() : end])
        between = "" if content is None or boxed is None else text[box.end() + len(content) + 1 : end]
        if content is None or len(between) > 80 or _BETWEEN_BOXES.fullmatch(between) is None:
            break
        boxed = content if boxed is None else f"{content}{' or ' if 'or' in between else ', '}{boxed}"
        end = box.start()
    return boxed


def last_formula(text: str) -> re.Match[str] | None:
    """Return the last match of `FORMULA` in `text`."""
    return next(iter(deque(FORMULA.finditer(text), maxlen=1)), None)


def without_formulas(text: str) -> str:
    """Remove the formulas of a text."""
    return FORMULA.sub(" ", text)


def leading_expression(text: str) -> tuple[str, str]:
    """Split `text` (what follows "The answer is") into its leading expression and the rest.

    The expression ends at its closing delimiter, or at the end of the line or sentence. Several formulas in a row
    ("$2$ and $-3$") are one expression.
    """
    found = _leading_formula(text)
    if found is None or _INCOMPLETE.fullmatch(found[0].strip()):
        end = next((end.start() for end in _END.finditer(text) if _is_outside(text[: end.start()])), len(text))
        return text[:end], text[end:]
    expression, rest = found
    while (joiner := _JOINER.match(rest)) and (following := _leading_formula(rest[joiner.end() :])):
        expression += f"{joiner[1]}{' or ' if joiner[3] == 'or' else ', '}{following[0]}"
        rest = following[1]
    return expression + ("!" if _FACTORIAL.match(rest) else ""), rest


def _leading_formula(text: str) -> tuple[str, str] | None:
    if (boxed := _BOXED.match(text)) is not None:
        content = _balanced_prefix(text[boxed.end() :]) or ""
        return content, text[boxed.end() + len(content) + 1 :]
    if (opener := _OPENER.match(text)) is None:
        return None
    content, *rest = re.split(_DELIMITERS[opener[0]], text[opener.end() :], maxsplit=1)
    return content, "".join(rest)


def _is_outside(before: str) -> bool:
    """Whether the end of a text is outside its environments and formulas."""
    return before.count(r"\begin{") <= before.count(r"\end{") and (
        "$" not in before or len(re.findall(r"(?<!\\)\$(?!\d)", before)) % 2 == 0
    )


def _balanced_prefix(text: str) -> str | None:
    """Return the text before the brace that closes the group `text` starts in, or None if it stays open."""
    depth = 1
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:position]
    return None

r"""LaTeX answers: how to read them from an expression and compare them.

>>> tidy(r"$\dfrac12$."), answer_in_expression(r"$12 + 6 = 18$"), equivalent("1, 2", "x = 2 or x = 1")
('\\frac{1}{2}', '18', True)

Equal tidy forms are equivalent, and different plain numbers are not. Lists are compared member by member and equations
side by side. math-verify compares everything else in a separate process with a time limit (`latex_judge.py`), because
some LaTeX takes forever to evaluate.
"""

import re
from fractions import Fraction
from functools import lru_cache

from .formulas import clean, last_boxed
from .latex_judge import Verdict, judge
from .numbers import number_value
from .tidying import CACHE_SIZE, MAX_LENGTH, THIN_COMMA, UNIT, tidy


_SPACE = re.compile(r"\s")
_NUMBER_BASE = re.compile(r"(?<=\d)_\{?(\d+)\}?")
_TERM = re.compile(r"(.*[\d}])([A-Za-z])")  # "2s", but not "2 m", where m is a unit
_STRUCTURE = re.compile(r"[=,;≈\s]|\\(?:approx|boxed|fbox)")
_ADVERBS = re.compile(
    r"\A(?:\s*(?:therefore|thus|then|just|simply|equal to|exactly|about|around|roughly|approximately|approx\.?)\s+"
    r"|\s*(?:\\approx(?![A-Za-z])|≈)\s*)+"
)
_ARTICLE = re.compile(r"(?:an?|the)\s+(?=[A-Za-z]{2})")
_PLACEHOLDER = re.compile(r"correct|un(?:known|clear)", re.IGNORECASE)  # "Let's assume the answer is correct."
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:and|or)\b)[A-Za-z]{2,}")
_ARGUMENT = re.compile(
    r"\\(?:begin\s*\{\w+\*?\}(?:\{\w*\})?|end\s*\{\w+\*?\}|(?:text|mbox|operatorname|math\w+)\s*\{[^{}]*\})"
)
_MAX_WORDS = 2  # "October 30", "square inches"; more words are prose
_REMARK = re.compile(
    r"(?<=[\w}%$])(?:\s+\((?=[a-z]+ )|,\s+(?:not|which|since|because|as|so)\b|\s+(?:because|since)\b).*", re.DOTALL
)
_OPEN, _CLOSE = r"\\begin\s*\{\w+\*?\}|[({\[]", r"\\end\s*\{\w+\*?\}|[)}\]]"
_SEPARATOR = r"(?<!\d)[,;]|,(?!\d{3}(?!\d))|;|\s(?:and|or)\s"  # but not the comma of 12,000
_MEMBERS = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|{_SEPARATOR}")
_GROUPS = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|;")
_SIDES = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|(?<![<>:=\\])(?<!\s!)=(?!=)")
_RELATIONS = re.compile(
    rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|[<>]|\s!="
    r"|\\(?:leq?|geq?|neq?|in|lt|gt|to|mid|equiv|approx|subset\w*)(?![A-Za-z])"
)
_APPROXIMATION = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|\\approx(?![A-Za-z])|≈")
_FUNCTION = r"\\(?:sin|cos|tan|cot|sec|csc|arc\w+|log|ln|exp|lim|max|min|gcd|sum|prod|int|sqrt|frac|binom)(?![A-Za-z])"
_INDEX = r"(?:_(?:\{[^{}]*\}|\w))?"
_STYLE = r"\\(?:math\w+|text|vec|bar|hat|overline|overrightarrow|operatorname)\s*\{[^{}]*\}"
# The left side of a definition: `x`, `f(x)`, `\mathbf{y}`, `y_1`, `A^{-1}`, `(p,q)`, `|AB|`, `\angle ABC`, `V_1:V_2`.
_NAME = re.compile(
    rf"\s*(?:\\frac\{{[A-Z]{{2}}\}}\{{[A-Z]{{2}}\}}|(?!{_FUNCTION})(?:\([A-Za-z, ]+\)|\|[A-Z]+\||\\angle\s*[A-Z]+"
    rf"|{_STYLE}|\\?[A-Za-z]+){_INDEX}'*(?:\^\{{?-1\}}?)?\s*(?:\(.*\))?(?:\s*:\s*[A-Za-z]{_INDEX})?)\s*",
    re.DOTALL,
)
_ARITHMETIC = re.compile(r"(?:[\d\s.,+\-*/()^{}$%]|\\[$%]|\\(?:frac|times|cdot|div)(?![A-Za-z]))*")
_LETTER = re.compile(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])")
_COORDINATES = ("x", "y", "z")  # `y = 2x + 3` is a line
_TUPLE = re.compile(r"\s*\((.*)\)\s*", re.DOTALL)
_SET = re.compile(r"\s*\\?\{(.*?)\\?\}\s*", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])|±")
_MAX_MEMBERS = 20
# Text, which is compared as text: words, and names in capital letters. `xyz` is a product.
_WORDS = re.compile(r"(?![abc]+\Z|[xyz]+\Z)(?=.*(?:[A-Z][A-Za-z]|[A-Za-z]{3}))[A-Za-z][\w\s'.-]*")


def answer_in_expression(expression: str) -> str | None:
    """Return the tidy answer of an expression, or None if it is prose.

    Each member of a list is reduced to its value: the last side of a chain of values (`12 + 6 = 18`) or of an equation
    with a name at its left (`x = 5`). Another equation, like `x + y = 5`, is itself the answer.
    """
    if _STRUCTURE.search(expression) is not None:  # not a number, as most answers are
        inner = last_boxed(expression)
        expression = _REMARK.sub("", expression if inner is None else inner)[: MAX_LENGTH + 1]
        expression = THIN_COMMA.sub(",", expression)
        bare = UNIT.sub("", without_arguments(expression))
        if _ARTICLE.match(bare) or len(_PLAIN_WORD.findall(bare)) > _MAX_WORDS:
            return None
        members = _split(expression.strip(), _MEMBERS)
        values = [_value(member) for member in members]
        if len(members) <= _MAX_MEMBERS and values != [member.strip() for member in members]:
            expression = (" or " if re.search(r"\bor\s", expression) else ", ").join(values)
    answer = tidy(expression)
    return None if not answer or _PLACEHOLDER.fullmatch(answer) else answer


def without_arguments(expression: str) -> str:
    r"""Remove the names of environments and the words of `\text{…}`, which are not prose."""
    return _ARGUMENT.sub("", expression) if "\\" in expression else expression


def number_in_equation(expression: str) -> str | None:
    """Return the last side of an equation if it is a number: 683 of `m + n = 683`, at the end of a text."""
    sides = _sides(expression)
    return tidy(sides[-1]) if len(sides) > 1 and number_value(tidy(sides[-1])) is not None else None


def _value(member: str) -> str:
    member = _ADVERBS.sub("", member)
    exact, *decimal = _split(member, _APPROXIMATION)
    if decimal:
        member = decimal[-1] if _NAME.fullmatch(exact.strip()) else exact
    sides = _sides(member)
    if len(sides) == 2:  # the last side is the value of `x = 5` and `12 + 6 = 18`, but not of `x + y = 5` and `y = 2x`
        is_name, has_letter = _NAME.fullmatch(sides[0]), _LETTER.search(sides[1])
        is_curve = has_letter and (not is_name or sides[0].strip() in _COORDINATES)
        if is_curve or not (is_name or _ARITHMETIC.fullmatch(sides[0])):
            return member.strip()
    return sides[-1].strip()


def equivalent(a: str, b: str) -> bool:
    """Whether two LaTeX answers are the same. A comparison that times out counts as different."""
    return verdict(a, b) == "same"


def verdict(a: str, b: str) -> Verdict:
    """Compare two LaTeX answers: `same`, `other`, or `timeout` if the judge exceeded its time or memory limit.

    The order of several values (`1,2`) and of sets does not matter, because MATH asks for all solutions. The order in
    points and intervals does. A number base is part of its number (`3120_4` is not `3120`), and ratios are compared
    literally (`22:4` is not `11:2`), because the questions ask for lowest terms.

    Verdicts are cached, timeouts too, unless only the wall-clock limit of a busy machine was exceeded.
    """
    try:
        return _cached_verdict(*sorted((_unboxed(a), _unboxed(b))))
    except TimeoutError:
        return "timeout"


def _unboxed(answer: str) -> str:
    answer = clean(answer[: MAX_LENGTH + 1])
    boxed = last_boxed(answer) if "boxed" in answer else None
    return tidy(answer if boxed is None else boxed)


@lru_cache(CACHE_SIZE)
def _cached_verdict(a: str, b: str) -> Verdict:
    terms = _parse_term(a), _parse_term(b)
    first, second = (_SPACE.sub("", side) for side in (a, b))
    if None not in terms or not (first and second):
        return "same" if terms[0] == terms[1] and first else "other"
    if first == second:
        return "same"
    if _WORDS.fullmatch(a) or _WORDS.fullmatch(b):
        return "same" if first.casefold() == second.casefold() else "other"
    members = _members(a), _members(b)
    if max(map(len, members)) > 1:
        return _compare_lists(*members, is_choice=" or " in a or " or " in b)
    sides = _sides(a), _sides(b)
    if max(map(len, sides)) > 1:
        return _compare_equations(*sides)
    if _NUMBER_BASE.findall(first) != _NUMBER_BASE.findall(second) or (":" in first and ":" in second):
        return "other"
    return judge(a, b)


def _compare_lists(first: list[str], second: list[str], *, is_choice: bool) -> Verdict:
    """Compare two lists in any order. "4, or 8/2" is 4, and a point may lack its parentheses."""
    if is_choice and 1 in (len(first), len(second)):
        verdicts = {verdict(a, b) for a in first for b in second}
        return "timeout" if "timeout" in verdicts else "same" if verdicts == {"same"} else "other"
    if 1 in (len(first), len(second)) and (point := _TUPLE.fullmatch((first if len(first) == 1 else second)[0])):
        return _compare_in_order(_split(point[1], _MEMBERS), second if len(first) == 1 else first)
    if len(first) != len(second) or len(first) > _MAX_MEMBERS:
        return "other"
    remaining = list(second)
    for member in first:
        for candidate in sorted(remaining, key=member.__ne__):
            if (compared := verdict(member, candidate)) == "timeout":
                return compared
            if compared == "same":
                remaining.remove(candidate)
                break
        else:
            return "other"
    return "same"


def _compare_in_order(first: list[str], second: list[str]) -> Verdict:
    verdicts = {verdict(a, b) for a, b in zip(first, second)} if len(first) == len(second) else {"other"}
    return "same" if verdicts == {"same"} else "other" if "other" in verdicts else "timeout"


def _compare_equations(first: list[str], second: list[str]) -> Verdict:
    """Compare the sides of two answers; `x = 5`, a chain and a true equation (`1 + 1 = 2`) have a last side."""
    named = [len(sides) == 2 and _NAME.fullmatch(sides[0]) is not None for sides in (first, second)]
    with_value = 1 in (len(first), len(second))
    if all(named) or (with_value and (any(named) or len(first) + len(second) > 3)):
        return verdict(first[-1], second[-1])
    if with_value:
        equation, (value,) = sorted((first, second), key=len, reverse=True)
        return verdict(equation[-1], value) if verdict(*equation) == "same" else "other"
    compared = _compare_in_order(first, second)
    if compared == "other" and len(first) == len(second) == 2:
        return judge("=".join(first), "=".join(second))
    return compared


def _sides(expression: str) -> list[str]:
    """Return the sides of a chain of equations, the value last: `2 = x` is `x = 2`. An inequality has one side."""
    sides = [expression] if len(_split(expression, _RELATIONS)) > 1 else _split(expression, _SIDES)
    is_reversed = len(sides) == 2 and _NAME.fullmatch(sides[1]) and not _NAME.fullmatch(sides[0])
    return sides[::-1] if is_reversed else sides


def _members(expression: str) -> list[str]:
    """Return the members of a list or a set, with `\\pm` written out."""
    groups = _split(expression, _GROUPS)
    sizes = {len(_split(group, _MEMBERS)) for group in groups}
    if len(groups) > 1 and len(sizes) == 1 and sizes != {1}:  # `p=5,q=2;p=7,q=2`
        return [f"({','.join(map(_value, _split(group, _MEMBERS)))})" for group in groups]
    members = _split(expression, _MEMBERS)
    if len(members) == 1 and (inner := _SET.fullmatch(expression)) and len(_split(inner[1], _MEMBERS)) > 1:
        members = _split(inner[1], _MEMBERS)
    for member in list(members):
        if len(_PLUS_MINUS.findall(member)) == 1 == len(_split(member, _RELATIONS)):
            members[(at := members.index(member)) : at + 1] = (_PLUS_MINUS.sub(sign, member) for sign in "+-")
    return members


def _split(expression: str, separators: re.Pattern[str]) -> list[str]:
    """Split an expression at the separators outside brackets and environments."""
    depth, start, parts = 0, 0, []
    for token in separators.finditer(expression):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(0, depth - 1)
        elif depth == 0:
            parts.append(expression[start : token.start()])
            start = token.end()
    parts.append(expression[start:])
    return [part for part in parts if part.strip()] or [expression]


def _parse_term(side: str) -> tuple[Fraction, str] | None:
    """Parse a number with an optional variable (`2s`, `7m`): math-verify treats some letters as units."""
    number, letter = term.groups() if (term := _TERM.fullmatch(side)) else (side, "")
    value = number_value(number)
    return None if value is None else (value, letter)

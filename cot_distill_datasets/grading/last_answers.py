"""The last answer of a text without a conclusion.

>>> last_answer("Not A, but D", "choice"), last_answer("So he pays $18.00", "number")
('D', '18')
"""

import re
from collections import deque

from . import formulas, latex
from .conclusions import BOOLEANS, LOWERCASE_LETTER, SENTENCE_END, Kind, find_layout
from .numbers import NUMBER, normalize_number, number_value
from .tidying import MAX_LENGTH


# An operand before a minus makes it a subtraction: "(y - 10)" does not contain -10.
_OPERAND = re.compile(r"(?:[\d)}\]]|(?<![\w'’\\])[b-z])[^\S\n]*\Z")
_IS_OR_EQUALS = re.compile(r"(?:\b(?:is|are)\b|[=:≈])\W{0,8}\Z")
_STANDALONE_LETTER = re.compile(r"(?<![\w'’-])[A-E](?!\w|['’]s|-\w)(?!(?<=A) (?!(?:is|and|or)\b)\w)")
# "No" is a determiner in "No dog flies" and "no dogs"; the quoted words in "a plain 'yes' or 'no'" are not answers.
_STANDALONE_BOOLEAN = re.compile(r"\b(?:[Tt]rue|TRUE|[Ff]alse|FALSE|Yes|YES|(?:yes|[Nn]o|NO)(?=[.,;:!*)]|\s*$))\b")
_STANDALONE = {"number": NUMBER, "math": NUMBER, "choice": _STANDALONE_LETTER, "boolean": _STANDALONE_BOOLEAN}
_NEGATION = re.compile(r"(?:\\(?:boxed|text(?:bf)?|mathrm|mathbf)\b|\W)*(?:not\b\W*)?", re.IGNORECASE)
# A text that begins with its answer: "D. it can't be A", "Option B is correct. A is …", "(G)".
_LEADING_OPTION = re.compile(
    r"\W*(?:(?i:option|choice)\s+)?\(?([A-J])(?:[).:](?=\s|$)|\W*\Z| is (?:the )?(?:correct|right)\b)"
)
# The options of the question, repeated: "A. first; B. second".
_LATER_OPTION = re.compile(r"(?:[;\n]\s*[A-J][.:]|\s[A-J]\))\s")
_LISTED = re.compile(r"[).:]\s+\w")
_OPTION = re.compile(r"(?:[Oo]ption\s+\(?|[Cc]hoice\s+\(?|\()([A-J])\b")  # "option G" of a benchmark with ten
_UNDECIDED = re.compile(r"\b[A-J],? (?:or|nor) [A-J]\Z")
# "No. It is true that …", "No, that is not true.", "no it is not", "yes and".
_LEADING_BOOLEAN = re.compile(
    r"\W*(yes|no)\b(?!\s+and\s+(?:yes|no)\b)"
    r"(?:\W*\Z|[.,;:!*)]|\s+(?:it|that|this|they|he|she|the|and|because)\b)",
    re.IGNORECASE,
)
_CONTRADICTION = re.compile(r"\W*yes\s+(?:and|or)\s+no\b", re.IGNORECASE)
_NEGATED = re.compile(
    r"(?:\bnot|n['’]t|\bcannot|\bnever)(?:\s+(?:be|necessarily|always|entirely|really|a|the))*\s+\Z", re.IGNORECASE
)
_OPPOSITE = {"True": "False", "False": "True"}
# A text of mathematics and hardly a word is an answer: "(0, 1)", "$odd$".
_PROSE_WORD = re.compile(r"(?<![\\A-Za-z])(?!or\b|and\b)[A-Za-z]{2,}")
# Behind these signs a formula has its result, except for the decimal value of an exact one.
_RESULT = re.compile(r"\\(?:approx|to|(?:Long)?rightarrow|(?:Long)?Rightarrow|implies)(?![A-Za-z])")


def last_answer(text: str, kind: Kind) -> str | None:
    """Return the last standalone answer in `text`, or the answer that the text consists of."""
    if kind == "math":
        return _last_math(formulas.strip_drawings(text))
    if kind == "number":
        last = _last_standalone(text, kind)
        return None if last is None else _last_number(text, last)
    return _last_letter(text) if kind == "choice" else _last_boolean(text)


def text_after_rejected_answer(text: str, kind: Kind) -> str | None:
    """Return the last answer behind the rejected one that `text` starts with: "not 40, it's 50"."""
    rejected, negation = _STANDALONE[kind].search(text), _NEGATION.match(text)
    if rejected and negation and rejected.start() > negation.end():
        rejected = None
    rest = text[rejected.end() :] if rejected else text
    layout = find_layout(rest, kind)
    answer = layout.answer if layout else last_answer(rest, kind)
    if answer is None and rejected and kind == "boolean" and "not" in text[: rejected.start()].lower():
        return _OPPOSITE[BOOLEANS[rejected[0].lower()]]
    return answer


def _last_letter(text: str) -> str | None:
    if (leading := _LEADING_OPTION.match(text)) is not None:
        if not _LATER_OPTION.search(text, leading.end()):
            return leading[1]
        last = _last_standalone(text, "choice")
        return None if last is None or _LISTED.match(text, last.end()) else last[0]
    if (only := LOWERCASE_LETTER.match(text)) is not None:
        return only[1].upper()
    last = _last_standalone(text, "choice")
    if last is None or len(text) - last.end() > 2:
        for option in deque(_OPTION.finditer(text, last.end() if last else 0), maxlen=1):
            return option[1]
    if last is None:
        return None
    before = text[max(0, last.start() - 10) : last.end()]
    return None if "or " in before and _UNDECIDED.search(before) else last[0]


def _last_boolean(text: str) -> str | None:
    if (leading := _LEADING_BOOLEAN.match(text)) is not None:
        return BOOLEANS[leading[1].lower()]
    last = _last_standalone(text, "boolean")
    if last is None or _CONTRADICTION.match(text):
        return None
    answer = BOOLEANS[last[0].lower()]
    before = text[max(0, last.start() - 40) : last.start()]
    # Quicker than the pattern.
    has_negation = "not" in before or "n't" in before or "n’t" in before or "never" in before
    return _OPPOSITE[answer] if has_negation and _NEGATED.search(before) else answer


def _last_math(text: str) -> str | None:
    if _is_bare(text):
        expression, rest = formulas.leading_expression(text.strip())
        bare = text.strip() if rest.strip(" .") else expression
        is_derivation = "=" in bare and len(formulas.FORMULA.findall(text)) > 1  # "$x = 5$ and $y = 2x = 10$"
        if not is_derivation and (answer := latex.answer_in_expression(bare)) is not None:
            return answer
    if (last := _last_standalone(text, "math")) is None:
        formula = formulas.last_formula(text)
        return _answer_in_formula(formula) if formula else None
    answer = _answer_in_last_formula(text, last)
    return _last_number(text, last) if answer is None else answer


def _is_bare(text: str) -> bool:
    """Whether a text is only mathematics."""
    if len(text) > MAX_LENGTH:
        return False
    beginning = latex.without_arguments(text.partition("$")[0])
    if _PROSE_WORD.search(beginning) and "\\(" not in text and "\\[" not in text:
        return False
    return _PROSE_WORD.search(formulas.without_formulas(latex.without_arguments(text))) is None


def _last_number(text: str, number: re.Match[str]) -> str | None:
    is_difference = number[0][0] in "-−" and _OPERAND.search(text[max(0, number.start() - 8) : number.start()])
    return None if is_difference else normalize_number(number[0])


def _last_standalone(text: str, kind: Kind) -> re.Match[str] | None:
    """Search for the last standalone answer line by line from the end; no pattern matches across lines."""
    end, pattern, last = len(text), _STANDALONE[kind], None
    while last is None and end >= 0:
        start = text.rfind("\n", 0, end) + 1
        for last in pattern.finditer(text, start, end):  # noqa: B007
            pass
        end = start - 1
    return last


def _answer_in_formula(formula: re.Match[str]) -> str | None:
    result = _RESULT.split(formula[formula.lastindex or 0].strip())[-1].strip().rstrip(".,\\ ")
    return latex.number_in_equation(result) or latex.answer_in_expression(result)


def _answer_in_last_formula(text: str, number: re.Match[str]) -> str | None:
    """Return the answer of the last formula if it contains `number` or if `number` only describes that answer.

    In "Thus $36$ is the least perfect square divisible by both 2 and 3." the 3 describes the answer, 36.
    """
    last_sign = max(text.rfind("$"), text.rfind(r"\)"), text.rfind(r"\]"))
    if last_sign < 0 or SENTENCE_END.search(text, last_sign + 2, number.start()):  # quicker than reading all formulas
        return None
    formula = formulas.last_formula(text)
    answer = _answer_in_formula(formula) if formula else None
    if answer is None or formula is None or number.start() < formula.start():
        return None
    if number.start() < formula.end():
        return answer
    between = text[formula.end() : number.start()]
    describes = SENTENCE_END.search(between) is None and _IS_OR_EQUALS.search(between[-20:]) is None
    return answer if describes and number_value(answer) is not None else None

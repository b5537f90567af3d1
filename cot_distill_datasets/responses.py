"""What a teacher's text says: its rationale, its own conclusion, and what had to be mended at its end.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

from __future__ import annotations

from .answers import CLOSING, Kind, equivalent, extract, has_closing, without_closing
from .latex import last_boxed, tidy
from .repairs import has_trailing_zero


def read_response(text: str, gold: str | None, kind: Kind) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, repairs).

    Teachers were shown the gold, and some closed with it behind a conclusion of their own: "The answer is 412. The
    answer is 322". Then the first is the teacher's answer.
    """
    once, concluded = without_closing(text), conclusion(text, kind)
    if not has_closing(text):
        return text, concluded, ["missing_closing"]
    repairs = ["trailing_zero"] if has_trailing_zero(text[len(once) :].rpartition(CLOSING)[2]) else []
    if once != text and has_closing(once):
        own = extract(once, kind, strict=True)
        if own and concluded and gold and not equivalent(own, gold, kind) and equivalent(concluded, gold, kind):
            return _without_closings(once), own, [*repairs, "gold_appended"]
    rationale = _without_closings(once)
    return rationale, concluded, [*repairs, "doubled_closing"] if rationale != once else repairs


def conclusion(text: str, kind: Kind) -> str | None:
    r"""Return the answer of the closing sentence, or, of LaTeX without one, that of the last `\boxed`."""
    concluded = extract(text, kind, strict=True)
    if concluded is None and kind == "math" and (boxed := last_boxed(text)) is not None:
        return tidy(boxed) or None
    return concluded


def _without_closings(text: str) -> str:
    while text != (shorter := without_closing(text)):
        text = shorter
    return text

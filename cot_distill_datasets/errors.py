"""The one exception of the package, and "did you mean" for its messages."""

import difflib
from collections.abc import Iterable


class CotDistillError(ValueError):
    """The user's input cannot be used. The message is one sentence that says why; the exit code is 2."""


def nearest(name: str, allowed: Iterable[str], *, limit: int = 6) -> str:
    """List `allowed` for an error message: the names that resemble `name`, or all if none does; at most `limit`.

    >>> nearest("gpt4", ["gemini", "gpt4o"])
    '`gpt4o`'
    >>> nearest("deepseek", ["gemini", "gpt4o"])
    '`gemini`, `gpt4o`'
    """
    likeness = {other: difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio() for other in allowed}
    least = max(0.6, max(likeness.values(), default=0) - 0.2)  # 0.6 is difflib's own cutoff
    ordered = sorted(likeness, key=lambda other: -likeness[other])
    names = [other for other in ordered if likeness[other] >= least] or list(likeness)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"`{other}`" for other in names[:limit]) + more

"""The one exception of the package, and "did you mean" for its messages."""

import difflib
from collections.abc import Iterable


class CotDistillError(ValueError):
    """The user's input cannot be used. The message is one sentence that says why; the exit code is 2."""


def nearest(name: str, allowed: Iterable[str], *, limit: int = 6) -> str:
    """List `allowed` for an error message: the names closest to `name` first, at most `limit` of them.

    >>> nearest("gpt4", ["gemini", "gpt4o"])
    '`gpt4o`, `gemini`'
    """
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=limit, cutoff=0.5)
    ordered = close + [other for other in allowed if other not in close]
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(f"`{other}`" for other in ordered[:limit]) + more

"""The one place that turns what a library raises before the first step into one sentence.

transformers, TRL, accelerate, PEFT and torch check arguments, recipes and models in some fifty places, with every kind
of exception. Their own message is kept.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import CotDistillError


_LONGEST = 500  # characters of a library's message
_SENTENCES = (ValueError, ImportError, RuntimeError, OSError)  # their messages are understood without their names


@contextmanager
def errors_as_message(failure: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Raise any exception as a CotDistillError: `failure`, and the exception's own message in one line.

    `given` are the user's arguments. Those that the message is about are named.
    """
    try:
        yield
    except CotDistillError:
        raise
    except Exception as error:
        raise as_message(failure, error, given) from error


def as_message(failure: str, error: Exception, given: Mapping[str, Any]) -> CotDistillError:
    """Return the CotDistillError of another exception (`errors_as_message`)."""
    reason = " ".join(str(error).split()).rstrip(".")
    if not reason or not isinstance(error, _SENTENCES):
        reason = f"{type(error).__name__} {reason}".strip()
    names = [f"`{name}`" for name, value in given.items() if _mentions(reason, name, value)]
    hint = f": see {', '.join(names)}" if names else ""
    short = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
    return CotDistillError(f"{failure} ({short}){hint}.")


def _mentions(message: str, name: str, value: Any) -> bool:
    """Whether a message has an argument's name or text, in any spelling (`flash_attention_2`, FlashAttention2)."""
    values = value if isinstance(value, list | set) else [value]
    texts = [str(getattr(text, "value", text)) for text in values if isinstance(text, str)]
    words = [re.sub(r"[\W_]", "", text) for text in (name, *texts)]
    # Shorter words are in every message.
    return any(re.search(_any_spelling(word), message, re.IGNORECASE) for word in words if len(word) > 3)


def _any_spelling(word: str) -> str:
    """Return the pattern of a word with any separators, but not within other words (`seed`, "See documentation")."""
    letters = r"[\W_]*".join(word)
    return rf"(?<![^\W_]){letters}(?![^\W_])"

"""What commands print to stderr: lines, and in a terminal also progress bars. Results go to stdout."""

import io
import logging
import sys
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from tqdm import tqdm


Item = TypeVar("Item")

# Warnings of lm_eval 0.4.13 about how we call it, which a user cannot change.
_NOISE = (
    "Custom kwargs can be passed to `--metadata`",
    "`pretrained` model kwarg is not of type `str`",
    "Passed an already-initialized model through `pretrained`",
)
_NOISY_LOGGERS = ("lm_eval.api.task", "lm_eval.models.huggingface")
_start_bar = tqdm.__init__


def message(text: str) -> None:
    """Print a line to stderr at once, so that it stands before what follows in a file with both streams."""
    print(text, file=sys.stderr, flush=True)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular if it is 1."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def progress(items: Collection[Item], action: str) -> Iterable[Item]:
    """Return `items` with a progress bar in a terminal, and after a line elsewhere."""
    if not sys.stderr.isatty():
        message(f"{action}: {len(items)}")
    return tqdm(items, desc=action, disable=None)  # type: ignore[no-any-return]


def quiet_libraries() -> None:
    """Hide the progress bars of every library unless stderr is a terminal, and warnings that a user cannot act on.

    Every bar of the stack is one of tqdm. Some libraries pass `disable=False`, which overrides TQDM_DISABLE and has no
    switch (lm_eval 0.4.13, `models/huggingface.py`).
    """
    tqdm.__init__ = _start_bar_in_terminal
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).addFilter(_says_something)


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def _start_bar_in_terminal(bar: Any, *arguments: Any, **options: Any) -> None:
    if not sys.stderr.isatty():
        options["file"] = _Nowhere()  # not `disable`: vLLM 0.32 divides by the elapsed time of its bar
    _start_bar(bar, *arguments, **options)


def _says_something(record: logging.LogRecord) -> bool:
    return not any(noise in record.getMessage() for noise in _NOISE)

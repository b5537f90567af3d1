"""Progress of long work, on stderr: stdout is for data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

import rich.progress
from rich.console import Console


Item = TypeVar("Item")


def track(items: Collection[Item], description: str) -> Iterable[Item]:
    """Yield `items` under a progress bar."""
    return rich.progress.track(items, description=description, console=Console(stderr=True))

"""What a running study shows: a live table of its cells, or a line for each that ends, and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..messages import count, message
from .estimates import training_seconds
from .plan import Plan, PlannedCell
from .status import status_table


EVALUATION_SECONDS = 30.0  # that a cell is expected to take beside its training


class Progress:
    """A live table of the cells on a terminal; elsewhere one line per cell that ends."""

    def __init__(self, plan: Plan, pending: list[PlannedCell]) -> None:
        self.plan, self.todo, self.ended = plan, len(pending), 0
        names = [planned.cell.name for planned in pending]
        seconds = training_seconds(plan, pending)
        self.work = {name: EVALUATION_SECONDS + count for name, count in zip(names, seconds)}
        self.done = 0.0  # of the work, in the same expected seconds
        self.failed: dict[str, str] = {}
        self.start = time.monotonic()
        self.console = Console(stderr=True)
        self.live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while cells run."""
        if not self.console.is_terminal:
            message(f"Missing: {count(self.todo, 'cell')}.")
            yield
            return
        with Live(console=self.console, refresh_per_second=0.5, get_renderable=self._table) as self.live:
            yield

    def complete(self, planned: PlannedCell) -> None:
        """Count a cell that is complete."""
        self._end(planned, "is complete")

    def fail(self, planned: PlannedCell, reason: str) -> None:
        """Count a cell that has failed twice."""
        self.failed[planned.cell.name] = reason
        self._end(planned, f"failed: {reason}")

    def _end(self, planned: PlannedCell, text: str) -> None:
        self.ended += 1
        self.done += self.work[planned.cell.name]
        if self.live is None:
            message(f"[{self.ended}/{self.todo}] {planned.cell.name} {text}. {self._time_left()}")

    def _time_left(self) -> str:
        """Return the time left, if the rest of the work is as slow as what is done."""
        seconds = (time.monotonic() - self.start) / self.done * (sum(self.work.values()) - self.done)
        return f"About {seconds / 60:.0f} min left."

    def _table(self) -> Table:
        table = status_table(self.plan, self.failed)
        table.caption = self._time_left() if self.ended else "The time left is known after the first cell."
        return table

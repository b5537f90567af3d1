"""What a running `annotate` shows: a bar in a terminal, and a line every half minute elsewhere."""

import sys
import time
from collections import Counter

from tqdm import tqdm

from ..messages import message
from .spending import Spending
from .store import Store


_LINE_SECONDS = 30.0


class Progress:
    """The answers so far by reason, with tokens, cost, rate and time left."""

    def __init__(self, total: int, store: Store, spending: Spending) -> None:
        self.store, self.spending = store, spending
        self.reasons: Counter[str] = Counter()
        self.bar = tqdm(total=total, unit=" answers", dynamic_ncols=True, disable=None, smoothing=0.05)
        self.done = 0
        self.start = self.shown = time.monotonic()

    def skip(self) -> None:
        """Count a request that was answered before."""
        self.bar.total -= 1

    def count(self, reason: str) -> None:
        """Count a request that was answered now, or whose tries are exhausted."""
        self.reasons[reason] += 1
        self.done += 1
        self.bar.set_postfix_str(self._facts(), refresh=False)
        self.bar.update()
        if not sys.stderr.isatty() and time.monotonic() - self.shown > _LINE_SECONDS:
            self.shown = time.monotonic()
            message(self.line())

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the bar, and show the last numbers."""
        self.bar.close()
        if self.done:
            message(self.line())

    def line(self) -> str:
        """Return the numbers as one line."""
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        left = self.bar.total - self.done
        minutes = f", about {left / rate / 60:.0f} min left" if rate and left else ""
        return f"[{self.done}/{self.bar.total}] {self._facts()}, {rate:.1f} answers/s{minutes}"

    def _facts(self) -> str:
        reasons = [f"{count} {name}" for name, count in self.reasons.most_common()]
        tokens = f"{self.store.prompt_tokens + self.store.output_tokens:,} tokens"
        return ", ".join([*reasons, tokens, *([f"cost {self.spending.spent:.4f}"] if self.spending.price else [])])

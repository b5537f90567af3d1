"""How many requests are in flight: up to `--concurrency`, fewer while the server answers 429.

A 429 halves the number, each answer raises it by a fraction that sums to one per round: additive increase and
multiplicative decrease, as TCP does. A `Retry-After` stops every request until then.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """The number of requests that may be in flight now, and the moment until which none may be sent."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.in_flight = most, float(most), 0
        self.last_answer = time.monotonic()
        self._resume = self._slowed = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more request may be sent, and count it as in flight."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.in_flight < int(self.limit))
            self.in_flight += 1
        try:
            while (wait := self._resume - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            self.in_flight -= 1
            async with self._changed:
                self._changed.notify(max(int(self.limit) - self.in_flight, 0))

    def rise(self) -> None:
        """Count an answer."""
        self.last_answer = time.monotonic()
        self.limit = min(self.limit + 1 / self.limit, self.most)

    def slow_down(self, sent: float) -> None:
        """Halve the number after a 429 to a request `sent` at that moment, once for all that were in flight then."""
        if sent > self._slowed:
            self._slowed = time.monotonic()
            self.limit = max(self.limit / 2, 1.0)

    def pause(self, seconds: float) -> None:
        """Send nothing for that many seconds."""
        self._resume = max(self._resume, time.monotonic() + seconds)

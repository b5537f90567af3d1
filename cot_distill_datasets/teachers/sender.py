"""One request until it is answered: its turn, its part of the cost limit, another try after a failure that may pass.

A request is tried `_TRIES` times with exponential backoff, about two minutes, so a server may restart meanwhile. A 429
is not a failure of the request: it is tried again as long as others are answered. Nothing waits longer than
`_PATIENCE_SECONDS` for the first answer since.
"""

import asyncio
import random
import time

from ..errors import CotDistillError
from ..sources.generated import Answer
from .client import Client, Rejected, Retry
from .pace import Pace
from .requests import Request
from .spending import Spending


_TRIES = 10
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds; doubled after each try
_PATIENCE_SECONDS = 600.0


class Unanswered(Exception):
    """A request has no answer, and the others continue. The message says why."""


class Sender:
    """Sends requests to one server, each until it is answered."""

    def __init__(self, client: Client, pace: Pace, spending: Spending) -> None:
        self.client, self.pace, self.spending = client, pace, spending

    async def answer(self, request: Request) -> Answer:
        """Return the answer to a request.

        Raises Unanswered if the server rejects it or fails each time, LimitReached if it could cost too much, and
        CotDistillError if the server answers no request at all.
        """
        begin, tries, failures = time.monotonic(), 0, 0
        while True:
            sent = time.monotonic()
            try:
                async with self.pace.turn():
                    sent = time.monotonic()
                    return await self._try(request)
            except Rejected as error:
                raise Unanswered(str(error)) from None
            except Retry as error:
                failures += not error.slow_down
                self._check(error, failures, begin)
                if error.slow_down:
                    self.pace.slow_down(sent)
                if error.wait is not None:
                    self.pace.pause(error.wait)
            wait = min(_FIRST_WAIT * 2 ** min(tries, 10), _LONGEST_WAIT)
            tries += 1
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # not all at the same moment

    async def _try(self, request: Request) -> Answer:
        cost = most = await self.spending.reserve(request)  # an answer that was lost may have been billed
        try:
            answer = await self.client.ask(request)
            cost = self.spending.cost(answer)
        except Retry as error:
            cost = most if error.lost else 0.0
            raise
        except Rejected:
            cost = 0.0
            raise
        finally:
            self.spending.settle(most, cost)
        self.pace.rise()
        return answer

    def _check(self, error: Retry, failures: int, begin: float) -> None:
        """Raise Unanswered or CotDistillError if the request is not to be tried again."""
        url = self.client.url
        if (error.wait or 0.0) > _PATIENCE_SECONDS:
            raise CotDistillError(f"{url} wants no request for {error.wait:.0f} seconds: run the command again then.")
        since = max(self.pace.last_answer, begin)
        if failures >= _TRIES and self.pace.last_answer > begin:
            raise Unanswered(f"{failures} failures, the last one: {error}")
        if failures >= _TRIES or time.monotonic() - since > _PATIENCE_SECONDS:
            raise CotDistillError(
                f"{url} no longer answers ({error}): run the command again to ask for what is missing."
            )

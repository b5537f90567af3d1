"""What a run costs, and the limit that it stops before."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from ..errors import CotDistillError
from ..sources.generated import Answer
from .requests import Request


_TEMPLATE_TOKENS = 256  # that a chat template adds to a prompt, at most


@dataclass(frozen=True)
class Price:
    """The price of a million prompt tokens, and of a million output tokens, in any currency."""

    prompt: float
    output: float

    def cost(self, prompt_tokens: float, output_tokens: float) -> float:
        """Return the price of tokens."""
        return (prompt_tokens * self.prompt + output_tokens * self.output) / 1e6


class LimitReached(Exception):
    """The next request could exceed `--max-cost`."""


class Spending:
    """What was spent, and what the requests in flight may cost at most.

    With a `limit`, a request is sent only if all of that and its own highest cost stay within it. The answers in the
    store count as spent. An answer that was lost on the way may have been billed, but no store has it, so it counts
    only in its own run. Raises CotDistillError if there is a limit without a price, or the output has no limit of
    tokens.
    """

    def __init__(self, price: Price | None, limit: float | None, parameters: dict[str, Any]) -> None:
        if limit is not None and (price is None or output_limit(parameters) is None):
            raise CotDistillError("`--max-cost` needs `--price IN,OUT` and a limit of output tokens (`--max-tokens`).")
        self.price, self.limit = price, limit
        self.spent = self._reserved = 0.0
        self._in_flight = 0
        self._settled = asyncio.Event()

    def add(self, prompt_tokens: int, output_tokens: int) -> None:
        """Count tokens that were paid before."""
        self.spent += self.price.cost(prompt_tokens, output_tokens) if self.price else 0.0

    async def reserve(self, request: Request) -> float:
        """Return the highest cost of a request once it may be sent. Raises LimitReached if it never may."""
        most = self._most(request)
        while self.limit is not None and self.spent + self._reserved + most > self.limit:
            if not self._in_flight:  # what is in flight may turn out cheaper
                raise LimitReached(f"the next answer could exceed `--max-cost {self.limit:g}`.")
            self._settled.clear()
            await self._settled.wait()
        self._reserved += most
        self._in_flight += 1
        return most

    def settle(self, most: float, cost: float) -> None:
        """Replace the highest cost of a request by its cost: 0 if the server rejected it."""
        self._reserved -= most
        self._in_flight -= 1
        self.spent += cost
        self._settled.set()

    def cost(self, answer: Answer) -> float:
        """Return what an answer cost. Raises CotDistillError if there is a limit, and the server counts no tokens."""
        if self.limit is not None and (answer.prompt_tokens is None or answer.output_tokens is None):
            raise CotDistillError("The server does not report token counts, so `--max-cost` cannot be kept: omit it.")
        return self.price.cost(answer.prompt_tokens or 0, answer.output_tokens or 0) if self.price else 0.0

    def _most(self, request: Request) -> float:
        if self.limit is None or self.price is None:
            return 0.0
        # A token has at least one byte.
        prompt_tokens = len(json.dumps(request.prompt.messages, ensure_ascii=False).encode(errors="replace"))
        return self.price.cost(prompt_tokens + _TEMPLATE_TOKENS, output_limit(request.plan.parameters) or 0)


def output_limit(parameters: dict[str, Any]) -> int | None:
    """Return the most tokens that an answer may have, or None without a limit."""
    limit = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
    return limit if isinstance(limit, int) else None

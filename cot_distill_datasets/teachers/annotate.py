"""Ask a teacher for the CoT of a release's questions, and keep every answer the moment it arrives.

    annotations/qwen3_32b/answers.jsonl    see `store.py`

A rerun asks only for what is missing. The first answers pass a gate before the rest is asked for.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CotDistillError
from ..sources.generated import Answer, reason
from .client import Client
from .gate import Gate
from .pace import Pace
from .progress import Progress
from .requests import Plan, Request
from .sender import Sender, Unanswered
from .spending import LimitReached, Price, Spending
from .store import Store, open_store


@dataclass(frozen=True)
class Settings:
    """How the requests are sent. None of it changes an answer."""

    base_url: str | None = None  # None: OPENAI_BASE_URL, or OpenAI's own
    concurrency: int = 32
    timeout: float = 600.0  # seconds
    price: Price | None = None
    max_cost: float | None = None
    gate: bool = True
    retry_failed: bool = False


@dataclass
class Result:
    """What a run did: the new answers, the requests without an answer by reason, and why it stopped early."""

    answers: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None


def annotate(folder: Path, plan: Plan, settings: Settings) -> Result:
    """Ask for the answers of `plan` that the store `folder` lacks.

    Raises CotDistillError if the store is in use or damaged, the gate is not passed, or no answer could be had.
    """
    return asyncio.run(_annotate(folder, plan, settings))


async def _annotate(folder: Path, plan: Plan, settings: Settings) -> Result:
    spending = Spending(settings.price, settings.max_cost, plan.parameters)
    client = Client(settings.base_url, settings.timeout, settings.concurrency)
    gate = Gate(plan.gate_requests() if settings.gate else [])
    try:
        await client.check()
        with open_store(folder, gate, retry_failed=settings.retry_failed) as store:
            spending.add(store.prompt_tokens, store.output_tokens)
            sender = Sender(client, Pace(settings.concurrency), spending)
            return await _Run(store, sender, Progress(plan.size, store, spending), gate).run(plan)
    finally:
        await client.close()


class _Run:
    """The state that the workers of a run share."""

    def __init__(self, store: Store, sender: Sender, progress: Progress, gate: Gate) -> None:
        self.store, self.sender, self.progress, self.gate = store, sender, progress, gate
        self.result = Result()
        self.judge = ThreadPoolExecutor(1)  # a formula may take seconds, and the grader has one process for them

    async def run(self, plan: Plan) -> Result:
        """Send the first requests, and the others if those pass the gate."""
        try:
            await self.send(iter(self.gate.requests))
            if self.gate.requests and not self.result.stopped:
                self.progress.note(self.gate.check(self.store.folder.name))
            if not self.result.stopped:
                await self.send(request for request in plan.requests() if request.key not in self.gate)
        finally:
            self.progress.close()
            self.judge.shutdown()
        if self.result.unanswered and not self.store.keys:
            raise CotDistillError(f"No request was answered: {next(iter(self.result.unanswered))}.")
        return self.result

    async def send(self, requests: Iterator[Request]) -> None:
        """Send what the store lacks. Raises CotDistillError if there is no answer at all."""
        error: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.sender.pace.most):
                    group.create_task(self._work(requests))
        except* (CotDistillError, LimitReached, OSError) as errors:  # OSError: a full disk
            error = errors.exceptions[0]
        if error and not isinstance(error, LimitReached) and not self.result.answers:
            raise error
        if error:
            self.result.stopped = str(error)

    async def _work(self, requests: Iterator[Request]) -> None:
        for request in requests:
            if request.key in self.store:
                self.progress.skip()
            else:
                await self._answer(request)

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self.sender.answer(request)
        except Unanswered as error:
            self.result.unanswered[str(error)] += 1
            self.gate.note_unanswered(request, str(error))
            self.progress.count("without an answer")
            return
        self.store.append(answer, request.prompt)
        self.result.answers += 1
        self.progress.count(await asyncio.get_running_loop().run_in_executor(self.judge, self._note, answer))

    def _note(self, answer: Answer) -> str:
        reason_ = reason(answer)
        if answer.key in self.gate:
            self.gate.note(answer, reason_)
        return reason_

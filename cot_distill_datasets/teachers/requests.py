"""What is asked of a teacher: every question of the release, for every config and sample, as requests with a key.

The key is the SHA-256 of the canonical JSON of model, parameters, messages and sample. It depends on no position and
on no server, so a rerun finds what was answered, and a changed prompt is a new request.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..benchmarks import BENCHMARKS
from ..errors import CotDistillError, nearest
from ..names import ConfigName
from ..release.folder import require_release
from ..sources.generated import Answer
from .prompts import Prompt, render


GATE_QUESTIONS = 16


class Question(NamedTuple):
    """A training question with its gold."""

    id: str
    question: str
    choices: list[str]
    gold: str


class Completion(NamedTuple):
    """What a server returned to one request, in the OpenAI protocol. It counted no tokens where they are None."""

    text: str
    finish_reason: str | None
    refusal: str | None
    prompt_tokens: int | None
    output_tokens: int | None

    @classmethod
    def read(cls, response: Any) -> "Completion | None":
        """Return the first choice of a parsed response, or None if it is not one: anything may be in it."""
        match response:
            case {"choices": [{"message": dict(message), **choice}, *_]}:
                text, reason, refusal = message.get("content"), choice.get("finish_reason"), message.get("refusal")
                if all(isinstance(value, str | None) for value in (text, reason, refusal)):
                    usage = response.get("usage")
                    counts = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
                    return cls(str(text or ""), reason, refusal, *counts)  # type: ignore[arg-type]
        return None


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None


class Request(NamedTuple):
    """One request to a teacher, which has one answer in its store."""

    key: str
    config: ConfigName
    question: Question
    prompt: Prompt
    sample: int
    plan: "Plan"

    @property
    def body(self) -> dict[str, Any]:
        """The request as it is sent, in the OpenAI protocol."""
        return {"model": self.plan.model, "messages": self.prompt.messages, **self.plan.parameters}

    @property
    def name(self) -> str:
        """What an error message calls the request."""
        return f"{self.config} {self.question.id} sample {self.sample}"

    def answer(self, completion: Completion, seconds: float) -> Answer:
        """Return the line of the store for what the server returned."""
        return Answer(
            key=self.key, config=str(self.config), id=self.question.id, question=self.question.question,
            choices=self.question.choices, gold=self.question.gold, gold_in_prompt=self.plan.conditioned,
            prompt_hash=self.prompt.hash, sample=self.sample, model=self.plan.model, parameters=self.plan.parameters,
            seconds=round(seconds, 3), **completion._asdict(),
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Everything that one command asks of a teacher.

    `parameters` are those of the OpenAI protocol beside model and messages, such as `temperature`. `conditioned`: the
    teacher is shown the gold and explains it, as in the paper.
    """

    model: str
    parameters: dict[str, Any]
    configs: tuple[ConfigName, ...]
    questions: dict[str, list[Question]]  # by benchmark
    samples: int
    conditioned: bool

    @cached_property
    def size(self) -> int:
        """The number of requests."""
        return sum(len(self.questions[config.benchmark]) for config in self.configs) * self.samples

    def requests(self) -> Iterator[Request]:
        """Yield every request, all of one question before the next one: its configs, and their samples."""
        for benchmark, questions in self.questions.items():
            configs = [config for config in self.configs if config.benchmark == benchmark]
            for question in questions:
                for config in configs:
                    yield from self._samples(config, question, self.samples)

    def gate_requests(self) -> list[Request]:
        """Return the requests that are sent first: `GATE_QUESTIONS` questions, each in one of the configs in turn."""
        numbered = ((number, self.configs[number % len(self.configs)]) for number in range(GATE_QUESTIONS))
        return [
            request
            for number, config in numbered
            for question in self.questions[config.benchmark][number : number + 1]
            for request in self._samples(config, question, 1)
        ]

    def _samples(self, config: ConfigName, question: Question, count: int) -> Iterator[Request]:
        prompt = render(config, question.question, question.choices, question.gold if self.conditioned else None)
        shared = {"messages": prompt.messages, "model": self.model, "parameters": self.parameters}
        # `sample` is the last key, so the samples of a question share the hash of the rest.
        start = sha256(json.dumps(shared, sort_keys=True)[:-1].encode())
        for sample in range(count):
            digest = start.copy()
            digest.update(f', "sample": {sample}}}'.encode())
            yield Request(digest.hexdigest(), config, question, prompt, sample, self)


def load_questions(release: Path, benchmark: str, limit: int | None = None) -> list[Question]:
    """Return the training questions of a benchmark, each once: the rows of the release's `answer-{benchmark}`.

    Raises CotDistillError if there is no release, it lacks the config or cannot be read, or there is no prompt for the
    benchmark: a question set of the user's own has none.
    """
    if benchmark not in BENCHMARKS:
        raise CotDistillError(f"There is no prompt for {benchmark!r}: use {nearest(benchmark, BENCHMARKS, limit=8)}.")
    stats = {stats.config.benchmark: stats for stats in require_release(release).training if _is_answer(stats.config)}
    if benchmark not in stats:
        raise CotDistillError(
            f"The release in {release} has no training questions of {benchmark!r}: use "
            f"{nearest(benchmark, stats)}, or build it with `--upstream`."
        )
    try:
        table = pq.read_table(release / stats[benchmark].file, columns=["id", "question", "choices", "answer"])
    except (OSError, pa.ArrowException) as error:
        raise CotDistillError(f"Cannot read {release}: build the release again. {error}") from error
    rows = table.to_pylist()
    questions = {row["id"]: Question(row["id"], row["question"], row["choices"], row["answer"]) for row in rows}
    return list(islice(questions.values(), limit))


def _is_answer(config: ConfigName) -> bool:
    return config.teacher == "answer"

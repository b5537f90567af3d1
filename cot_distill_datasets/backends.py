"""lm-eval's models, made to keep what it throws away: why each answer ended, and how many tokens it has.

lm-eval generates the answers of a task in an order of its own, and reports each to its cache hook in that order; a
recorder in the hook's place pairs them with what the backend knew. `backend_vllm.py` is the same for vLLM.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any, Literal, NamedTuple

from lm_eval.models.huggingface import HFLM


class Generation(NamedTuple):
    """How an answer ended: by itself or a stop string (`stop`), or at the cap of `max_gen_toks` (`length`).

    `tokens` are output tokens, the end token among them.
    """

    tokens: int
    finish_reason: Literal["stop", "length"]


class Recorder:
    """Stands where lm-eval's cache stands (`LM.cache_hook`), and so learns which prompt each generation was for."""

    def __init__(self) -> None:
        self.generated: deque[Generation] = deque()  # of the batch at hand, not yet claimed
        self.of_prompt: dict[str, Generation] = {}

    def add_partial(self, method: str, request: tuple[str, dict[str, Any]], answer: str) -> None:
        """Pair the next generation with its prompt; lm-eval calls it once an answer, in order of generation."""
        self.of_prompt[request[0]] = self.generated.popleft()


class Recorded:
    """Mixin of a model of lm-eval that records each generation; greedy, so equal prompts have equal answers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.cache_hook = self.recorder = Recorder()


class RecordedHF(Recorded, HFLM):  # type: ignore[misc]
    """lm-eval's `hf` model, recorded."""

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **kwargs: Any) -> Any:
        # lm-eval's stopping criterion takes a beam for a prompt, and would end all searches of a batch with the first.
        in_search = stop if kwargs.get("num_beams", 1) == 1 else []
        generated = super()._model_generate(context, max_length, in_search, **kwargs)
        answers = generated[:, context.shape[1] :].tolist()
        self.recorder.generated.extend(self._ended(tokens, stop) for tokens in answers)
        return generated

    def _ended(self, tokens: list[int], stop: list[str]) -> Generation:
        """Return how a row of a batch ended; what follows until the longest row ended is padding, or never shown."""
        ends = self.model.generation_config.eos_token_id
        ends = {self.eot_token_id, *(ends if isinstance(ends, list) else [ends])}
        end = next((i + 1 for i, token in enumerate(tokens) if token in ends), None)
        stopped = bisect_left(range(len(tokens)), True, key=lambda k: self._has_stop(tokens[: k + 1], stop)) + 1
        if end is None and stopped > len(tokens):
            return Generation(len(tokens), "length")
        return Generation(min(end or stopped, stopped), "stop")

    def _has_stop(self, tokens: list[int], stop: list[str]) -> bool:
        text = self.tok_decode(tokens, skip_special_tokens=False)  # as lm-eval's stopping criterion reads it
        return any(string in text for string in stop)

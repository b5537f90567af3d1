"""lm-eval's `hf` model, recording what lm-eval discards: why each answer ended, and how many tokens it has.

lm-eval generates the answers of a task in its own order and reports each to its cache hook in that order. A recorder
in the hook's place pairs them with what the backend knew. `recorder_vllm.py` does the same for vLLM.
"""

from bisect import bisect_left
from collections import deque
from typing import Any, Literal, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from ..messages import count, message


class Generation(NamedTuple):
    """How an answer ended: with the EOS token or a stop string (`stop`), or at `max_gen_toks` (`length`).

    `tokens` counts output tokens, including the EOS token.
    """

    tokens: int
    finish_reason: Literal["stop", "length"]


class Recorder:
    """Replaces lm-eval's cache (`LM.cache_hook`), and so learns which prompt each generation belongs to."""

    def __init__(self) -> None:
        self.generated: deque[Generation] = deque()  # of the current batch, not yet paired
        self.by_prompt: dict[str, Generation] = {}

    def add_partial(self, method: str, request: tuple[str, dict[str, Any]], answer: str) -> None:
        """Pair the next generation with its prompt. lm-eval calls it once per answer, in order of generation."""
        self.by_prompt[request[0]] = self.generated.popleft()


class Recorded:
    """Mixin for a model of lm-eval that records each generation. Greedy, so equal prompts have equal answers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.cache_hook = self.recorder = Recorder()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer all questions of a task. lm-eval scores the answers next, without a sign of life."""
        message(f"Answering {count(len(requests), 'question')}.")
        answers: list[str] = super().generate_until(requests, disable_tqdm)  # type: ignore[misc]
        message(f"Scoring {count(len(answers), 'answer')}.")
        return answers


class RecordedHF(Recorded, HFLM):  # type: ignore[misc]
    """lm-eval's `hf` model, recorded."""

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **kwargs: Any) -> Any:
        # lm-eval's stopping criterion takes a beam for a prompt, and would end every search of a batch with the first.
        search_stop = stop if kwargs.get("num_beams", 1) == 1 else []
        generated = super()._model_generate(context, max_length, search_stop, **kwargs)
        answers = generated[:, context.shape[1] :].tolist()
        self.recorder.generated.extend(self._generation(tokens, stop) for tokens in answers)
        return generated

    def _generation(self, tokens: list[int], stop: list[str]) -> Generation:
        """Return how one row of a batch ended. Tokens after its end are padding, or are never shown."""
        eos_ids = self.model.generation_config.eos_token_id
        eos_ids = {self.eot_token_id, *(eos_ids if isinstance(eos_ids, list) else [eos_ids])}
        end = next((i + 1 for i, token in enumerate(tokens) if token in eos_ids), None)
        stopped = bisect_left(range(len(tokens)), True, key=lambda k: self._has_stop(tokens[: k + 1], stop)) + 1
        if end is None and stopped > len(tokens):
            return Generation(len(tokens), "length")
        return Generation(min(end or stopped, stopped), "stop")

    def _has_stop(self, tokens: list[int], stop: list[str]) -> bool:
        text = self.tok_decode(tokens, skip_special_tokens=False)  # as lm-eval's stopping criterion reads it
        return any(string in text for string in stop)

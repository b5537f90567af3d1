"""lm-eval's `vllm` model, recorded. It can be imported only where vLLM is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.models.vllm_causallms import VLLM

from .recorders import Generation, Recorded
from .vllm_worker import SwapExtension


class RecordedVLLM(Recorded, VLLM):  # type: ignore[misc]
    """vLLM reports token counts and finish reasons; lm-eval keeps only the text (`vllm_causallms.py`)."""

    def __init__(self, **arguments: Any) -> None:
        extension = f"{SwapExtension.__module__}.{SwapExtension.__qualname__}"
        super().__init__(worker_extension_cls=extension, **arguments)

    def swap_weights(self, student: Path) -> None:
        """Replace the weights with those of another student of the same architecture.

        Raises RuntimeError if the prefix cache cannot be cleared.
        """
        self.model.collective_rpc("swap_weights", args=(str(student),))
        # vLLM keeps the former student's keys and values of long prompts, and would answer from them.
        if not self.model.reset_prefix_cache():
            raise RuntimeError("vLLM did not clear its prefix cache")

    def close(self) -> None:
        """End the engine's process. vLLM ends it only when its last reference goes, which its own imports may hold."""
        if self.data_parallel_size == 1:  # otherwise lm-eval has ended it
            self.model.llm_engine.engine_core.shutdown()

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._model_generate(*args, **kwargs)
        for output in outputs:
            (answer,) = output.outputs
            self.recorder.generated.append(Generation(len(answer.token_ids), answer.finish_reason))
        return outputs

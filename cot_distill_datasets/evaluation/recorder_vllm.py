"""lm-eval's `vllm` model, recorded. It can be imported only where vLLM is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.models.vllm_causallms import VLLM

from .recorders import Generation, Recorded


class RecordedVLLM(Recorded, VLLM):  # type: ignore[misc]
    """vLLM reports token counts and finish reasons; lm-eval keeps only the text (`vllm_causallms.py`)."""

    def swap_weights(self, student: Path) -> None:
        """Replace the weights by those of another student of the same architecture.

        Raises RuntimeError if the cache cannot be cleared.
        """
        self.model.collective_rpc("reload_weights", kwargs={"weights_path": str(student)})
        # It has the former student's keys and values of every block of each prompt, and vLLM does not clear it.
        if not self.model.reset_prefix_cache():
            raise RuntimeError("vLLM cannot clear its prefix cache")

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._model_generate(*args, **kwargs)
        for output in outputs:
            (answer,) = output.outputs
            self.recorder.generated.append(Generation(len(answer.token_ids), answer.finish_reason))
        return outputs

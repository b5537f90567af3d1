"""lm-eval's `vllm` model, recorded. It can be imported only where vLLM is installed."""

from __future__ import annotations

from typing import Any

from lm_eval.models.vllm_causallms import VLLM

from .recorders import Generation, Recorded


class RecordedVLLM(Recorded, VLLM):  # type: ignore[misc]
    """vLLM reports token counts and finish reasons; lm-eval keeps only the text (`vllm_causallms.py`)."""

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._model_generate(*args, **kwargs)
        for output in outputs:
            (answer,) = output.outputs
            self.recorder.generated.append(Generation(len(answer.token_ids), answer.finish_reason))
        return outputs

"""lm-eval's `vllm` model, recorded; apart from `backends.py`, since it can be imported only where vLLM is."""

from __future__ import annotations

from typing import Any

from lm_eval.models.vllm_causallms import VLLM

from .backends import Generation, Recorded


class RecordedVLLM(Recorded, VLLM):  # type: ignore[misc]
    """vLLM counts and says why it ended; lm-eval keeps the text only (`vllm_causallms.py`, `generate_until`)."""

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._model_generate(*args, **kwargs)
        for output in outputs:
            (answer,) = output.outputs
            self.recorder.generated.append(Generation(len(answer.token_ids), answer.finish_reason))
        return outputs

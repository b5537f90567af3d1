"""A method for vLLM's workers (`worker_extension_cls`): replace the weights of the model that they have loaded."""

from typing import Any

from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod


class SwapExtension:
    """Mixed into vLLM's worker class."""

    reload_weights: Any
    model_runner: Any

    def swap_weights(self, student: str) -> None:
        """Load the weights in a folder into the model.

        On a CPU, vLLM 0.32 multiplies with a packed copy of the output embeddings, and makes no new copy if they are
        tied to the input embeddings: every answer would come from the former student's copy.
        """
        self.reload_weights(weights_path=student)
        for layer in self.model_runner.get_model().modules():
            if isinstance(layer, ParallelLMHead) and isinstance(layer.quant_method, UnquantizedEmbeddingMethod):
                layer.quant_method.process_weights_after_loading(layer)

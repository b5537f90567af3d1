"""Evaluate a student through lm-eval: its own API and result files, with the output tokens counted as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM

from .taxonomy import CotDistillError


HEADLINE = "exact_match,strict-match"


@dataclass(frozen=True)
class Score:
    """One student on one task: `correct` of `n` questions, and one answer to look at."""

    task: str
    n: int
    correct: int
    mean_output_tokens: float
    question: str
    gold: str
    sample: str


class CountingLM(HFLM):  # type: ignore[misc]
    """lm-eval's `hf` model that counts what it generates: lm-eval keeps the text only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.output_tokens = 0

    def _model_generate(self, context: Any, *args: Any, **kwargs: Any) -> Any:
        generated = super()._model_generate(context, *args, **kwargs)
        for tokens in generated[:, context.shape[1] :].tolist():
            # A row that ended is filled up with padding; its end token counts, as it was generated.
            end = tokens.index(self.eot_token_id) + 1 if self.eot_token_id in tokens else len(tokens)
            self.output_tokens += end
        return generated


def evaluate(student: Path, task: str, out: Path, *, limit: int | None = None, batch_size: int = 64) -> Score:
    """Evaluate the student in a folder, write lm-eval's results and samples below `out`, and return the score.

    Raises:
        CotDistillError: the student has no chat template, so nobody knows how it wants to be asked.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = CountingLM(pretrained=str(student), device=device, batch_size=batch_size, dtype="float32")
    if model.tokenizer.chat_template is None:
        raise CotDistillError(f"{student} has no chat template: evaluate a student that was trained with one.")
    tracker = EvaluationTracker(output_path=str(out))
    results = lm_eval.simple_evaluate(
        model=model,
        tasks=[task],
        limit=limit,
        apply_chat_template=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name=task, samples=samples[task])
    strict = [sample for sample in samples[task] if sample["filter"] == "strict-match"]
    return Score(
        task=task,
        n=len(strict),
        correct=sum(sample["exact_match"] for sample in strict),
        mean_output_tokens=round(model.output_tokens / len(strict), 1),
        question=strict[0]["doc"]["question"],
        gold=strict[0]["doc"]["answer"],
        sample=strict[0]["resps"][0][0],
    )

"""Surprisals and ranks of tokens under a base model, from forward passes over texts of similar length."""

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from ..errors import CotDistillError
from .base import Base
from .texts import Text


TOKENS = 4096  # of a forward pass, with padding
_LOGITS = 1 << 24  # in memory at once


class Measures(NamedTuple):
    """The surprisals (nats) and ranks of the CoT's tokens, and the surprisals of the answer's tokens."""

    surprisals: np.ndarray
    ranks: np.ndarray
    answer: np.ndarray


def measure(base: Base, texts: Collection[Text]) -> dict[Text, Measures]:
    """Return the measures of each text. Raises CotDistillError if a logit is NaN or infinite."""
    measures: dict[Text, Measures] = {}
    for batch in batches(texts):
        surprisals, ranks = _score(base, batch)
        if not np.isfinite(surprisals).all():
            raise CotDistillError(
                f"The logits of {base.path} are NaN or infinite, although its weights are not: use a recipe with "
                "`dtype: float32`."
            )
        first = 0
        for text in batch:
            middle = first + text.stop - text.start
            last = middle + text.end - text.answer
            measures[text] = Measures(surprisals[first:middle], ranks[first:middle], surprisals[middle:last])
            first = last
    return measures


def batches(texts: Collection[Text]) -> Iterator[list[Text]]:
    """Yield the texts from the longest to the shortest, in batches of at most `TOKENS` tokens with padding."""
    ordered = sorted(texts, key=lambda text: len(text.tokens), reverse=True)
    while ordered:
        size = max(TOKENS // len(ordered[0].tokens), 1)
        yield ordered[:size]
        ordered = ordered[size:]


def pad(batch: Sequence[Text], device: torch.device) -> dict[str, torch.Tensor]:
    """Return the tokens and the attention mask of a batch, padded on the right, of shape (texts, tokens)."""
    lengths = torch.tensor([len(text.tokens) for text in batch])
    width = int(lengths.max())
    rows = [[*text.tokens, *[0] * (width - len(text.tokens))] for text in batch]
    mask = torch.arange(width) < lengths[:, None]
    return {"input_ids": torch.tensor(rows, device=device), "attention_mask": mask.long().to(device)}


@torch.inference_mode()
def _score(base: Base, batch: Sequence[Text]) -> tuple[np.ndarray, np.ndarray]:
    """Return the surprisals and ranks of the scored tokens of a batch, text by text: the CoT's, then the answer's.

    A rank is 1 + the number of tokens with a higher logit. The body runs once; logits are computed only for the scored
    tokens, in slices.
    """
    inputs = pad(batch, base.model.device)
    outputs = base.model.base_model(**inputs, use_cache=False)
    head, hidden = _without_body(base.model, outputs), outputs[0]
    scored = [(row, token) for row, text in enumerate(batch) for token in _scored(text)]
    row, token = torch.tensor(scored, dtype=torch.long, device=hidden.device).reshape(-1, 2).T
    before, targets = hidden[row, token - 1], inputs["input_ids"][row, token]
    size = max(_LOGITS // base.model.config.get_text_config().vocab_size, 1)
    surprisals, ranks = [], []
    for states, target in zip(before.split(size), targets.split(size)):
        logits = head(inputs_embeds=states[None]).logits[0].float()
        own = logits.gather(1, target[:, None])
        surprisals.append(logits.logsumexp(1) - own[:, 0])
        ranks.append(1 + (logits > own).sum(1))
    return torch.cat(surprisals).cpu().double().numpy(), torch.cat(ranks).cpu().numpy()


def _scored(text: Text) -> list[int]:
    return [*range(text.start, text.stop), *range(text.answer, text.end)]


class _Given(torch.nn.Module):
    """Stands in for the body of a model: its output, with the `inputs_embeds` as hidden states."""

    def __init__(self, outputs: Any) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        return type(self.outputs)(**{**self.outputs, "last_hidden_state": inputs_embeds})


def _without_body(model: PreTrainedModel, outputs: Any) -> PreTrainedModel:
    """Return a model that shares all but its body with `model`, and computes logits from hidden states.

    So logits can be computed for a few tokens at a time, with the cap or scale that some families apply to them.
    """
    head = copy.copy(model)
    head._modules = model._modules | {model.base_model_prefix: _Given(outputs)}
    return head

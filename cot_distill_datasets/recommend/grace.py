"""GRACE: how well the gradients of some questions cover those of others (arXiv 2511.02833).

Definitions follow the authors' code, `GRACE_computation.py` and `gradient_computation.py` @ec69dfc. They validated it
on GSM8K with short CoT, students from 1B parameters, and four answers to each question. A release has one answer to a
question, so that GRACE is outside its validated regime here.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import CotDistillError
from .base import Base
from .texts import Text


PARAMETERS = 10_000_000  # of the largest student: each row takes a backward pass and a projection of all its weights
DIMENSIONS = 512  # of a projected gradient (the paper's; the code's default is 1024)
SPLITS = 10
_TEST_SHARE = 0.1
_SMOOTHING = 1e-3  # ν
_LEAST = 1e-12  # norm and eigenvalue
_BLOCK = 1 << 14  # weights whose signs are in memory at once
_MEMORY = 1 << 26  # elements of gradients in memory at once


def require_small(base: Base) -> None:
    """Raise CotDistillError if a student has too many parameters for GRACE."""
    if base.parameters > PARAMETERS:
        raise CotDistillError(
            f"GRACE takes students of at most {PARAMETERS / 1e6:.0f}M parameters, but {base.path} has "
            f"{base.parameters / 1e6:.0f}M: omit `--gradients`."
        )


def projected_gradients(base: Base, texts: Sequence[Text]) -> np.ndarray:
    """Return the projected gradient of each text's loss, of shape (texts, DIMENSIONS).

    The loss is the mean cross-entropy of the completion and its EOS token, as in training. A projection is the product
    with random signs of a fixed seed, over the root of the number of weights.
    """
    weights = [weight for weight in base.model.parameters() if weight.requires_grad]
    size = max(_MEMORY // sum(weight.numel() for weight in weights), 1)
    parts = [np.empty((0, DIMENSIONS), np.float32)]
    for start in range(0, len(texts), size):
        gradients = [_gradient(base, text, weights) for text in texts[start : start + size]]
        parts.append(_project(torch.stack(gradients)))
    return np.concatenate(parts)


def _gradient(base: Base, text: Text, weights: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    tokens = torch.tensor([text.tokens], device=base.model.device)
    logits = base.model(input_ids=tokens, use_cache=False).logits[0, text.start - 1 : -1].float()
    loss = torch.nn.functional.cross_entropy(logits, tokens[0, text.start :])
    parts = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return torch.cat([part.float().flatten() for part in parts])


def _project(gradients: torch.Tensor) -> np.ndarray:
    """Project gradients of shape (texts, weights). Each block of signs is drawn when it is needed."""
    total = torch.zeros(len(gradients), DIMENSIONS, device=gradients.device)
    for number, block in enumerate(gradients.split(_BLOCK, dim=1)):
        total += block @ signs(number, block.shape[1]).to(block.device)
    projected: np.ndarray = (total / gradients.shape[1] ** 0.5).cpu().numpy()
    return projected


def signs(block: int, weights: int) -> torch.Tensor:
    """Return the random signs of a block of weights, of shape (weights, DIMENSIONS): the same on every machine."""
    drawn = np.frombuffer(np.random.default_rng(block).bytes(weights * DIMENSIONS // 8), np.uint8)
    return torch.from_numpy(np.unpackbits(drawn).reshape(weights, DIMENSIONS)).float() * 2 - 1


def grace(gradients: np.ndarray, questions: Sequence[str]) -> list[float]:
    """Return Tr(K_train⁻¹ K_test) of each split of the questions, 90% to 10%. Their mean is GRACE, lower is better.

    `gradients` has shape (rows, dimensions), and `questions` the id of each row's question: its rows stay together. K
    is GᵀG / rows. Train rows have the norm 1, test rows their own. The eigenvalues of K_train are moved by the share
    ν = 0.001 to their mean, so that it has an inverse. Raises CotDistillError if there is only one question.
    """
    ids, question = np.unique(questions, return_inverse=True)
    if len(ids) < 2:
        raise CotDistillError("GRACE needs at least 2 questions that all configs have: omit `--gradients`.")
    count = max(1, int(len(ids) * _TEST_SHARE))
    scores = []
    for seed in range(SPLITS):
        is_test = np.isin(question, np.random.default_rng(seed).permutation(len(ids))[-count:])
        train, test = gradients[~is_test].astype(np.float64), gradients[is_test].astype(np.float64)
        train /= np.linalg.norm(train, axis=1, keepdims=True).clip(_LEAST)
        values, vectors = np.linalg.eigh(train.T @ train / len(train))
        values = values.clip(_LEAST)
        smooth = (1 - _SMOOTHING) * values + _SMOOTHING * values.mean()
        scores.append(float(((test @ vectors) ** 2 / smooth).sum() / len(test)))
    return scores

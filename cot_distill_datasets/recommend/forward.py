"""The scores of configs under a student, from forward passes over the same questions."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ..names import RELEASE_NAME, ConfigName
from .base import Base


FOLDER = Path("runs/recommend")
SCHEMA = pa.schema(
    [
        ("config", pa.string()),
        ("id", pa.string()),  # of the question; of GRACE, the number of the split
        ("score", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
    ]
)


def score_configs(
    base: Base,
    configs: Sequence[ConfigName],
    dataset: str = RELEASE_NAME,
    *,
    rows: int = 500,
    folder: Path = FOLDER,
    gradients: bool = False,
) -> pa.Table:
    """Return the terms of every score of configs (`SCHEMA`), on the first `rows` questions that all of them have.

    A score is the sum of its numerators over the sum of its denominators. Each config has the same ids of each of its
    scores. A config has no lines of a score that is not defined for it: without CoT, only `rd` and the controls, and
    `agreement` only where the release tells it, the same on every line of a config. `grace` has one line for each split.

    Results are written below `folder` as they are computed, so that a killed run resumes. Raises CotDistillError if
    the configs share no question, a row does not fit the tokenizer, or logits are NaN, and with `gradients` if the
    student has more than 10M parameters.
    """
    raise NotImplementedError

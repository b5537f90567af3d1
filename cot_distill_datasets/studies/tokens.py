"""The supervised tokens of training rows, known before any training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from datasets import Dataset


def completion_tokens(rows: Dataset, recipe: Mapping[str, Any]) -> list[int]:
    """Return the supervised tokens of each row under a recipe: those of its completion, and an EOS token."""
    return _count(rows, recipe["model_name_or_path"], recipe.get("model_revision") or "main")


@cache  # every seed has the same
def _count(rows: Dataset, model: str, revision: str) -> list[int]:
    from transformers import AutoTokenizer

    texts = [completion[0]["content"] for completion in rows["completion"][:]]
    tokens = AutoTokenizer.from_pretrained(model, revision=revision)(texts, add_special_tokens=False)["input_ids"]
    return [len(row) + 1 for row in tokens]

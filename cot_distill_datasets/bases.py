"""What the licences of the base models ask of whoever publishes a student that was made of one.

Pointers, not legal advice. Sources: Llama 3.2 Community License (25 September 2024), section 1.b; Gemma Terms of Use,
section 3.1; BigScience RAIL License v1.0 (19 May 2022), sections 4 and 5; Apache License 2.0, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .students import UNTRAINED_DEMO


@dataclass(frozen=True)
class Base:
    """What is asked of a student of a family of base models; `licence` is one of the Hub's identifiers.

    `credit` is to be displayed, `notice` to stand in a file `NOTICE` beside the weights.
    """

    licence: str
    name: str
    link: str
    asks: tuple[str, ...]
    credit: str | None = None
    notice: str | None = None


_MODIFIED = "Modified files say that they were modified: this card does."
_APACHE = Base(
    "apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0",
    asks=("A copy of the licence goes with the weights, with the notices that the base model has.", _MODIFIED),
)  # fmt: skip
_LLAMA = Base(
    "llama3.2", "Llama 3.2 Community License", "https://www.llama.com/llama3_2/license",
    asks=(
        'The name of the student begins with "Llama".',
        '"Built with Llama" is displayed prominently: this card does.',
        "A copy of the licence (the base model's `LICENSE.txt`) goes with the weights, and the file `NOTICE` that "
        "stands beside them.",
        "It is used as the [acceptable use policy](https://www.llama.com/llama3_2/use-policy) allows.",
    ),
    credit="Built with Llama",
    notice="Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright © Meta Platforms, Inc. All Rights "
    "Reserved.",
)  # fmt: skip
_GEMMA = Base(
    "gemma", "Gemma Terms of Use", "https://ai.google.dev/gemma/terms",
    asks=(
        "Whoever gets the student is bound to the [prohibited use "
        "policy](https://ai.google.dev/gemma/prohibited_use_policy), and is told so: this card does.",
        "A copy of the terms goes with the weights, and the file `NOTICE` that stands beside them.",
        _MODIFIED,
    ),
    notice="Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
)  # fmt: skip
_BLOOM = Base(
    "bigscience-bloom-rail-1.0", "BigScience RAIL License v1.0", "https://huggingface.co/spaces/bigscience/license",
    asks=(
        "The use restrictions of its Attachment A bind whoever uses the student, as an enforceable provision of the "
        "licence that it is published under.",
        "A copy of the licence goes with the weights.",
        _MODIFIED,
    ),
)  # fmt: skip

# How the names of a family begin, spelled as its licence wants it. Gemma 4 has another licence than its elders.
BASES = {"Llama-3.2-": _LLAMA, "gemma-2b": _GEMMA, "gemma-3-": _GEMMA, "bloom-": _BLOOM, "SmolLM2-": _APACHE}


def base_of(base_model: str) -> Base | None:
    """Return the family of a base model, by the name of its Hub repo or folder; None where it is not known."""
    if base_model == str(UNTRAINED_DEMO):
        return _APACHE  # this package writes it
    prefix = _prefix(base_model)
    return BASES[prefix] if prefix else None


def spelled(base_model: str) -> str | None:
    """Return the name of a base model without its owner or folder, its beginning as its licence wants it spelled.

    None where its family is not known.
    """
    name, prefix = Path(base_model).name, _prefix(base_model)
    return prefix + name[len(prefix) :] if prefix else None


def _prefix(base_model: str) -> str | None:
    name = Path(base_model).name.lower()
    return next((prefix for prefix in BASES if name.startswith(prefix.lower())), None)

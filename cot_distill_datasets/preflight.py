"""What must hold before a student is asked anything: its chat template, its BOS, and that the longest prompt fits.

Each rule is one that, broken, changes scores without an error: a wrong or absent template (LLaMA-Factory #2509: 26
against 57 % by the template), no or a doubled BOS (lm-evaluation-harness #3347), a prompt cut on its left.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from .provenance import read_provenance
from .taxonomy import CotDistillError


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The BOS of Gemma and of Llama 3: they were pretrained with one before every text, and are noise without it. SmolLM2
# and the demo student begin with a turn marker instead, BLOOM with nothing.
FAMILY_BOS = ("<bos>", "<|begin_of_text|>")


def check_template(student: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a student without a chat template, or with another than the one it was trained with.

    Raises:
        CotDistillError: one of the two; without `provenance.json` nothing is known of the training.
    """
    if tokenizer.chat_template is None:
        raise CotDistillError(f"{student} has no chat template: evaluate a student that was trained with one.")
    made = read_provenance(student)
    if made and made.chat_template_sha256 != template_sha(tokenizer):
        raise CotDistillError(
            f"The chat template of {student} is not the one it was trained with (provenance.json has the SHA-256 "
            f"{made.chat_template_sha256[:12]}…, its tokenizer {template_sha(tokenizer)[:12]}…): put the trained one "
            "back as chat_template.jinja, or train again."
        )


def template_sha(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of the chat template, the one called `default` of several; it is lm-eval's, too."""
    return sha256(tokenizer.get_chat_template().encode()).hexdigest()


def check_prompt(tokens: list[int], tokenizer: PreTrainedTokenizerBase, room: int) -> None:
    """Refuse the tokens of a prompt that begins with a wrong number of BOS, or is longer than `room` tokens.

    Raises:
        CotDistillError: either; lm-eval would go on, and cut the prompt on its left.
    """
    bos = tokenizer.bos_token_id
    leading = next((i for i, token in enumerate(tokens) if token != bos), len(tokens))
    wanted = tokenizer.bos_token in FAMILY_BOS
    if leading > 1 or leading < wanted:
        raise CotDistillError(
            f"A prompt begins with {leading} BOS tokens (`{tokenizer.bos_token}`), this family wants "
            f"{'exactly one' if wanted else 'one at most'}: let either the chat template or the tokenizer "
            "(`add_bos_token`) write it, not both and not neither."
        )
    if len(tokens) > room:
        raise CotDistillError(
            f"A prompt has {len(tokens)} tokens, and the student's context has room for {max(room, 0)} "
            "before the answer (`max_gen_toks`): evaluate a student with a longer context, or another task."
        )

"""The token sequences that are scored for a row, rendered and tokenized as in training, and which tokens count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from ..errors import CotDistillError
from ..grading.answers import CLOSING
from ..grading.conclusions import Kind
from ..schema import Row, completion_text
from .scores import without_answer


@dataclass(frozen=True)
class Text:
    """The tokens of a prompt and a completion. The completion's are those from `start`, the CoT's end at `stop`.

    The tokens of the answer behind `The answer is ` are those from `answer` to `end`, before the EOS token. A token
    that spans an end belongs to what follows.
    """

    tokens: tuple[int, ...]
    start: int
    stop: int
    answer: int
    end: int


class RowTexts(NamedTuple):
    """The texts of a row: with its CoT, without it, and with the mentions of the answer taken out of it."""

    full: Text
    closing: Text
    masked: Text


def row_texts(row: Row, kind: Kind, tokenizer: PreTrainedTokenizerBase) -> RowTexts:
    """Return the texts of a row of a release, whatever the edition: its rationale and the closing sentence.

    Raises CotDistillError if the chat template does not render the completion behind the prompt as it is.
    """
    rationale = row["rationale"] or ""
    masked = without_answer(rationale, row["answer"], row["choices"], kind)
    texts = {text: _text(row, text, tokenizer) for text in (rationale, "", masked)}
    own = texts[masked] if masked == rationale else replace(texts[masked], stop=texts[masked].start)  # only the answer
    return RowTexts(texts[rationale], texts[""], own)


def _text(row: Row, rationale: str, tokenizer: PreTrainedTokenizerBase) -> Text:
    completion = completion_text(rationale, row["answer"])
    answer_turn = {"role": "assistant", "content": completion}
    prompt = str(tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))
    whole = str(tokenizer.apply_chat_template([*row["prompt"], answer_turn], tokenize=False))
    if not whole.startswith(prompt + completion):
        raise CotDistillError(
            f"Row {row['id']}: the chat template does not render the completion behind the prompt: use a recipe with "
            "a shipped template, such as `chatml`."
        )
    cot = f"{rationale}\n" if rationale else ""
    parts = [prompt, prompt + cot, f"{prompt}{cot}{CLOSING} ", prompt + completion]
    tokens, *ids = tokenizer([whole, *parts], add_special_tokens=False)["input_ids"]
    return Text(tuple(tokens), *(_shared(tokens, part) for part in ids))


def _shared(tokens: Sequence[int], others: Sequence[int]) -> int:
    """Return the number of tokens that two texts share at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(tokens, others)))

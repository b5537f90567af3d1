"""A language model whose probabilities are known, and datasets of a few rows for it."""

import math
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from support import ROOT
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutput

from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.schema import completion_text


WORDS = ["<|im_start|>", "<|im_end|>", "user", "assistant", "2", "3", "+", "2?", "3?", "=", "4.", "6.", "7.", "."]
WORDS += ["The", "answer", "is", "4", "6", "x"]
# The probabilities of a token after another one. The other tokens share the rest, and are less probable.
AFTER = {
    "assistant": {"2": 1 / 2, "3": 1 / 4},
    "2": {"+": 1 / 2, "=": 1 / 4},
    "3": {"+": 1 / 2, "=": 1 / 4},
    "+": {"3": 1 / 2, "2": 1 / 8},
    "=": {"6.": 1 / 2, "7.": 1 / 4, "4.": 1 / 16},
    "is": {"4": 1 / 4, "6": 1 / 4},
}
# What the odds of a token are multiplied by where another one came before.
BEFORE = {"4.": ("4", 9), "6.": ("6", 3), ".": ("4", 1 / 3)}


class _Body(torch.nn.Module):
    """The hidden state of a token: itself, and which words of `BEFORE` came up to it."""

    def forward(self, input_ids: torch.Tensor, **_: Any) -> BaseModelOutputWithPast:
        own = torch.nn.functional.one_hot(input_ids, len(WORDS)).float()
        seen = own[:, :, [WORDS.index(word) for word in BEFORE]].cummax(dim=1).values
        return BaseModelOutputWithPast(last_hidden_state=torch.cat([own, seen], dim=2))


class KnownModel(PreTrainedModel):
    """A language model with the probabilities of `AFTER` and `BEFORE`."""

    config_class = PreTrainedConfig
    base_model_prefix = "model"

    def __init__(self) -> None:
        super().__init__(PreTrainedConfig(vocab_size=len(WORDS)))
        self.model = _Body()
        self.lm_head = torch.nn.Linear(len(WORDS) + len(BEFORE), len(WORDS), bias=False)
        self.post_init()
        table = torch.zeros(len(WORDS), len(WORDS) + len(BEFORE))
        for number, word in enumerate(WORDS):
            known = AFTER.get(word, {})
            rest = (1 - sum(known.values())) / (len(WORDS) - len(known))
            for other, name in enumerate(WORDS):
                table[other, number] = math.log(known.get(name, rest))
        for number, (word, factor) in enumerate(BEFORE.values(), len(WORDS)):
            table[WORDS.index(word), number] = math.log(factor)
        self.lm_head.weight.data = table

    def forward(self, **inputs: Any) -> CausalLMOutput:
        inputs.pop("logits_to_keep", None)
        return CausalLMOutput(logits=self.lm_head(self.model(**inputs).last_hidden_state))


def known_base() -> Base:
    """A base model with known probabilities. Its tokens are words."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = (ROOT / "training/templates/chatml.jinja").read_text()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|im_end|>", chat_template=template)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    return Base("known", "org/known", KnownModel(), tokenizer, limit=64, key="0")


def write_rows(folder: Path, *rows: tuple[str, str, str, str]) -> str:
    """Write (id, question, rationale, answer) as the config `oracle-l3-arith` of a dataset, and return its folder."""
    folder.mkdir()
    header = "configs:\n- config_name: oracle-l3-arith\n  data_files:\n  - split: train\n    path: train.parquet\n"
    (folder / "README.md").write_text(f"---\n{header}---\n")
    columns = [
        {
            "id": id_,
            "benchmark": "arith",
            "choices": [],
            "answer": answer,
            "rationale": rationale,
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": completion_text(rationale, answer)}],
        }
        for id_, question, rationale, answer in rows
    ]
    Dataset.from_list(columns).to_parquet(folder / "train.parquet")
    return str(folder)

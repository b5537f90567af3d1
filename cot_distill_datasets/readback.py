"""A student read back from its folder after training: it is what was trained, and it ends its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .supervision import supervised_tokens
from .taxonomy import CotDistillError


ANSWERS = 8


class ReadBack(NamedTuple):
    """A student as any user loads it."""

    model: Any
    tokenizer: Any


def read_back(student: Path, parameters: int, chat_template: str, device: Any = "cpu") -> ReadBack:
    """Load a saved student as any user would, onto a device; in bfloat16 on a GPU, where the trained one still is.

    Raises:
        CotDistillError: it has another number of parameters, or another chat template, than was trained.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # else ZeRO-3 would partition it, too
    dtype = "float32" if str(device) == "cpu" else "bfloat16"
    loaded: Any = AutoModelForCausalLM.from_pretrained(student, dtype=dtype, output_loading_info=True)
    model, info = loaded
    tokenizer = AutoTokenizer.from_pretrained(student)
    if info["missing_keys"] or model.num_parameters() != parameters:
        raise CotDistillError(
            f"{student} was saved with {model.num_parameters():,} parameters, without {sorted(info['missing_keys'])}, "
            f"and {parameters:,} were trained: it is not whole, do not use it."
        )
    if tokenizer.chat_template != chat_template:
        raise CotDistillError(f"{student} was saved with another chat template than it was trained with.")
    return ReadBack(model.to(device), tokenizer)


def check_answers(student: ReadBack, dataset: Any) -> list[str]:
    """Let a student answer the first questions that it learned from; return a warning where most do not end.

    `dataset` has the tokens of the rows (`input_ids`, `labels`); an answer may be as long as the longest of those that
    were learned.
    """
    import torch

    model, tokenizer = student
    prompts = []
    for row in dataset.select(range(min(ANSWERS, len(dataset)))):
        supervised = supervised_tokens([row["labels"]])
        prompts.append(row["input_ids"][: len(row["input_ids"]) - supervised])
    longest = max(supervised_tokens([labels]) for labels in dataset["labels"])
    tokenizer.padding_side = "left"
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
    generated = model.generate(**batch, max_new_tokens=longest, do_sample=False)
    answers = generated[:, batch["input_ids"].shape[1] :]
    ends = model.generation_config.eos_token_id  # one, or with that of the base model
    capped = int((~torch.isin(answers, torch.tensor(ends, device=answers.device))).all(dim=1).sum())
    if capped * 2 <= len(prompts):
        return []
    return [
        f"{capped} of {len(prompts)} answers to questions of the training ran to the cap of {longest} tokens, the "
        "longest answer that was learned: the student may not have learned to end."
    ]

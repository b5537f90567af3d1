"""Students before training: any base model, and the demo student.

The demo student is a Llama of 0.9M seeded parameters with a tokenizer and a chat template of its own. It is small
enough to learn `arith` on two CPU cores in minutes, and a real student all the same: `transformers`, TRL, lm-eval and
vLLM load its folder like any other. Untrained, a student is the baseline of those that are trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import arith
from .folders import replaced_folder
from .resources import resource
from .schema import completion_text
from .taxonomy import GRANULARITIES


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast


UNTRAINED_DEMO = Path("runs/demo/untrained")
END, PAD = "<|im_end|>", "<|pad|>"
CONTEXT = 1024  # tokens


def write_untrained_demo(folder: Path, *, seed: int = 100) -> None:
    """Write the untrained demo student to `folder`, weights, tokenizer and chat template; whole or not at all."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,  # head size 32: vLLM on a CPU takes multiples of 32 only
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    with replaced_folder(folder) as staged:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)


def write_untrained(folder: Path, model_args: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a base model to `folder` as it is, with the tokenizer of its recipe: the baseline of its students.

    A base model has no chat template of its own, so nobody could ask it what its students are asked.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        model_args.model_name_or_path, revision=model_args.model_revision, use_safetensors=True
    )
    own = model.generation_config.eos_token_id or []  # as TRL gives its students: the recipe's end token and these
    ends = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    model.generation_config.eos_token_id = list(dict.fromkeys(ends))
    with replaced_folder(folder) as staged:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the wording of `arith`.

    Every digit is a token, so that columns line up, and so is every line break, so that no token reaches over the end
    of a prompt; what stands between may merge into one (no split at words), which makes a row about half as long.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    problems, _ = arith.splits()
    texts = [
        f"user\n{problem.question}\nassistant\n"
        + completion_text(arith.rationale(problem, granularity), problem.answer)
        for problem in problems[:500]
        for granularity in GRANULARITIES
    ]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [PAD, "<|im_start|>", END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=1024, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=resource("training/templates/chatml.jinja").read_text(),
    )

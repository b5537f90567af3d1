"""Models before training: the base model's tokenizer, the demo student, and untrained students as baselines.

The demo student is a Llama with 0.9M randomly initialized parameters and its own tokenizer and chat template. It is
small enough to learn `arith` on two CPU cores in minutes, and transformers, TRL, lm-eval and vLLM load it like any
other model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chat import check_question, check_rendering, plain_template
from ..errors import CotDistillError
from ..files import atomic_dir, find_file, resource
from ..hub import limit_waits
from ..messages import message
from ..names import DEMO_STUDENTS, GRANULARITIES, untrained_dir
from ..schema import completion_text
from ..sources import arith
from .formats import rewrite_for_all_readers


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

EOS, PAD = "<|im_end|>", "<|pad|>"  # of the demo students
CONTEXT = 1024  # tokens of the demo students
# Layers, and attention heads of 32 dimensions each (vLLM on a CPU needs a multiple of 32): 0.2M, 0.9M and 5.1M
# parameters.
_SIZES = dict(zip(DEMO_STUDENTS, ((3, 2), (4, 4), (6, 8))))

_MARKER = re.compile(r"<\|[^<>|]+\|>|<\w+_of_turn>")  # `<|im_start|>`, `<start_of_turn>`


def load_tokenizer(model_args: Any, training_args: Any) -> PreTrainedTokenizerBase:
    """Return the base model's tokenizer with the recipe's chat template, EOS token and pad token.

    Of several chat templates, it keeps the one called `default`. Raises CotDistillError if it cannot be loaded, has no
    chat template or one without end, or lacks a turn marker of the template.
    """
    from transformers import AutoTokenizer

    limit_waits()
    name = model_args.model_name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=model_args.model_revision, trust_remote_code=False)
    except Exception as error:  # transformers, tokenizers and json raise any
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise CotDistillError(
            f"Cannot load {name} ({reason}): pass a folder or a model of the Hub as "
            "`--model_name_or_path`. For a gated model, accept its license on its page and run `hf auth login`."
        ) from error
    if (Path(name) / "adapter_config.json").is_file():
        raise CotDistillError(f"{name} is a LoRA adapter: pass the folder of a model that it was merged into.")
    if template := training_args.chat_template_path:
        path = find_file(template, "training/templates", ".jinja")
        try:
            tokenizer.chat_template = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CotDistillError(f"Cannot read the chat template {path}: {error}.") from error
        training_args.chat_template_path = None  # TRL would read it again
    if tokenizer.chat_template is None:
        raise CotDistillError(
            f"{name} has no chat template: pass one as `--chat_template_path`, such as `chatml`, or a recipe with one."
        )
    tokenizer.chat_template = plain_template(tokenizer.get_chat_template())
    tokenizer.eos_token = training_args.eos_token or tokenizer.eos_token
    tokenizer.pad_token = training_args.pad_token or tokenizer.pad_token
    check_rendering(name, tokenizer)
    check_question(template or f"of {name}", tokenizer)
    _check_markers(tokenizer)
    return tokenizer


def check_weights(model: Any) -> None:
    """Raise CotDistillError if a base model has weights that are not finite: one NaN or infinity decides their sum."""
    import torch

    for name, weights in model.named_parameters():
        if not weights.is_meta and not weights.detach().sum(dtype=torch.float32).isfinite():
            raise CotDistillError(f"The weights `{name}` of the base model are NaN or infinite: download it again.")


def check_model(model: Any, rows: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise CotDistillError as `check_weights` and `check_vocabulary` do. `rows` have `input_ids`."""
    check_weights(model)
    check_vocabulary(model, rows["input_ids"], tokenizer)


def check_vocabulary(model: Any, rows: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise CotDistillError if a base model lacks the embedding of a token of `rows`, or of the pad token.

    A tokenizer may have unused tokens beyond the embeddings (Gemma 3).
    """
    size = model.config.get_text_config().vocab_size
    last = max([tokenizer.pad_token_id or 0, *map(max, rows)])
    if last >= size:
        raise CotDistillError(
            f"The base model has {size} embeddings, but its tokenizer gives the token {last}: they do not belong "
            "together."
        )


def _check_markers(tokenizer: PreTrainedTokenizerBase) -> None:
    """Reject a template whose turn markers, or an EOS or pad token, are not in the vocabulary."""
    vocabulary = tokenizer.get_vocab()
    special = [token for token in (tokenizer.eos_token, tokenizer.pad_token) if token]
    for marker in [*_MARKER.findall(tokenizer.get_chat_template()), *special]:
        if marker not in vocabulary:
            raise CotDistillError(
                f"`{marker}` of the recipe's chat template, EOS or pad token is not in the vocabulary of "
                f"{tokenizer.name_or_path}: the recipe is for another model family; use its own."
            )


def ensure_demo_student(model_name_or_path: str) -> None:
    """Write an untrained demo student if it is the base model and is missing."""
    for student in DEMO_STUDENTS:
        folder = untrained_dir(student)
        if model_name_or_path == str(folder) and not folder.is_dir():
            write_untrained_demo(folder, student)


def write_baseline(folder: Path, model_args: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a base model to `folder` with the tokenizer of its recipe: the baseline of its students.

    A base model has no chat template of its own, so it could not be asked the way its students are. An existing
    baseline is not changed: it may have results.
    """
    from transformers import AutoModelForCausalLM

    if folder.is_dir():
        message(f"The untrained student in {folder} already exists and was not changed.")
        return
    model = AutoModelForCausalLM.from_pretrained(
        model_args.model_name_or_path,
        revision=model_args.model_revision,
        trust_remote_code=False,
        use_safetensors=True,
    )
    check_weights(model)
    own = model.generation_config.eos_token_id or []  # as TRL does for students: the recipe's EOS token and these
    ids = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    model.generation_config.eos_token_id = list(dict.fromkeys(ids))
    with atomic_dir(folder) as staged:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        rewrite_for_all_readers(staged, tokenizer)
    message(f"The untrained student is in {folder}.")


def write_untrained_demo(folder: Path, student: str = "demo", *, seed: int = 100) -> None:
    """Write an untrained demo student to `folder`: weights, tokenizer and chat template."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = _demo_tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(seed)
    layers, heads = _SIZES[student]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32 * heads,
        intermediate_size=88 * heads,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ids,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**ids)
    with atomic_dir(folder) as staged:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        rewrite_for_all_readers(staged, tokenizer)


def _demo_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the texts of `arith`.

    Every digit is a token, so that columns align. Every line break is a token, so that none spans the end of a prompt.
    Everything between may merge (no split at words), which makes a row about half as long.
    """
    from tokenizers import Tokenizer, decoders, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
    from transformers import PreTrainedTokenizerFast

    problems, _ = arith.splits()
    texts = [
        f"user\n{problem.question}\nassistant\n{completion_text(arith.rationale(problem, level), problem.answer)}"
        for problem in problems[:500]
        for level in GRANULARITIES
    ]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), Split("\n", "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [PAD, "<|im_start|>", EOS]
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=resource("training/templates/chatml.jinja").read_text(encoding="utf-8"),
    )

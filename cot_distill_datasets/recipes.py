"""What a recipe names: keys that exist, and the tokenizer of its base model with the recipe's chat template."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .resources import resource
from .taxonomy import CotDistillError, nearest


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARKER = re.compile(r"<\|[^<>|]+\|>|<\w+_of_turn>")  # `<|im_start|>`, `<start_of_turn>`

# Arguments of TRL that would go unheard here, or against a promise → what to leave them at, and why.
_REFUSED = {
    "trust_remote_code": (False, "it runs what a repo says"),
    "packing": (False, "a step would have other rows than the paper's"),
    "padding_free": (False, "it is for packed rows"),
    "truncation_mode": ("keep_start", "a row that is cut is to keep its question"),
    "eval_strategy": ("no", "students are evaluated by `cot-distill evaluate`"),
    "load_in_4bit": (False, "a student is trained in whole weights"),
    "load_in_8bit": (False, "a student is trained in whole weights"),
    "model_init_kwargs": (None, "`dtype`, `attn_implementation` and `model_revision` are arguments of their own"),
    "gradient_accumulation_steps": (1, "it follows from `effective_batch_size`"),
    "auto_find_batch_size": (False, "it would change the effective batch size"),
    "shuffle_dataset": (False, "rows are shuffled at each epoch"),
    "data_seed": (None, "`seed` is that of the rows' order, too"),
    "save_only_model": (False, "a run could not go on from its checkpoints"),
    "ignore_data_skip": (False, "a run that goes on would take rows twice"),
    "resume_from_checkpoint": (None, "a run goes on by itself"),
    "push_to_hub": (False, "it would publish a student before its check and card: `hf upload USER/NAME FOLDER` after"),
}


def check_names(args: list[str], arguments: Iterable[Any]) -> str | None:
    """Check every name of a command line and of the recipe it gives as `--config`, and return the recipe's path.

    `args` has names and values apart (`--seed`, `7`); `arguments` are the dataclasses whose fields are the names.

    Raises:
        CotDistillError: a name is unknown, or the recipe cannot be read.
    """
    known = {field.name for kind in arguments for field in dataclasses.fields(kind)}
    flags = [arg.removeprefix("--").replace("-", "_") for arg in args if arg.startswith("--")]
    _refuse_unknown("The command line", flags, known | {"config", "help"} | {f"no_{name}" for name in known})
    if "--config" not in args:
        return None
    path = Path(args[args.index("--config") + 1] if args[-1] != "--config" else "")
    try:
        recipe = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise CotDistillError(f"The recipe {path} cannot be read: {error}") from error
    if not isinstance(recipe, dict):
        raise CotDistillError(f"The recipe {path} is no mapping of names to values: see training/recipes/.")
    _refuse_unknown(f"The recipe {path}", [str(name) for name in recipe], known)
    return str(path)


def refuse_unheard(arguments: Any) -> None:
    """Refuse arguments of TRL that a training here does not hear.

    Raises:
        CotDistillError: one is set.
    """
    for name, (left, why) in _REFUSED.items():
        given = getattr(arguments, name, left)  # each is of one of two dataclasses
        if getattr(given, "value", given) != left:
            raise CotDistillError(f"`{name}` stays {left!r} here: {why}.")


def load_tokenizer(model_args: Any, training_args: Any) -> PreTrainedTokenizerBase:
    """Return the base model's tokenizer, with the chat template and the end token that the recipe gives it.

    Raises:
        CotDistillError: it cannot be had, has no chat template, or does not know the template's turn markers.
    """
    from transformers import AutoTokenizer

    name = model_args.model_name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=model_args.model_revision)
    except (OSError, ValueError) as error:
        raise CotDistillError(
            f"{name} cannot be loaded ({_first_line(error)}): name a folder or a model of the Hub as "
            "`--model_name_or_path`; for a gated one accept its licence on its page and run `hf auth login`."
        ) from error
    if given := training_args.chat_template_path:
        path = Path(given) if Path(given).is_file() else resource(given)
        if not path.is_file():
            ours = [template.name for template in resource("training/templates").iterdir()]
            raise CotDistillError(
                f"There is no chat template {given}: training/templates/ has {nearest(path.name, ours)}."
            )
        tokenizer.chat_template, training_args.chat_template_path = path.read_text(), str(path)
    if tokenizer.chat_template is None:
        raise CotDistillError(
            f"{name} has no chat template: give it one of training/templates/ as `--chat_template_path`."
        )
    tokenizer.eos_token = training_args.eos_token or tokenizer.eos_token
    tokenizer.pad_token = training_args.pad_token or tokenizer.pad_token
    _check_markers(tokenizer)
    return tokenizer


def _check_markers(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a template whose turn markers or end token are no tokens: it is for another architecture."""
    vocabulary = tokenizer.get_vocab()
    special = [token for token in (tokenizer.eos_token, tokenizer.pad_token) if token]
    for marker in [*_MARKER.findall(tokenizer.get_chat_template()), *special]:
        if marker not in vocabulary:
            raise CotDistillError(
                f"The recipe's chat template, end or pad token has `{marker}`, which is no token of "
                f"{tokenizer.name_or_path}: the recipe is for another architecture; take the student's own of "
                "training/recipes/."
            )


def _refuse_unknown(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise CotDistillError(f"{where} has {name!r}, which is no argument: use {nearest(name, known, limit=3)}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")

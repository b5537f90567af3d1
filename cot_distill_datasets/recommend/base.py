"""The base model that is to become a student, with the tokenizer and chat template that its training would use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from ..chat import bos_rule, check_prompt
from ..errors import CotDistillError, nearest
from ..files import resource
from ..studies.keys import base_hash, digest, recipe_arguments
from ..training.arguments import SFTConfig
from ..training.failures import errors_as_message
from ..training.models import check_weights, ensure_demo_student, load_tokenizer


_TEXT = ("chat_template_path", "eos_token", "pad_token")  # the arguments that decide how a row is rendered


@dataclass(frozen=True)
class Base:
    """A base model in memory. `name` is that of the student's folder below `runs/`, `path` a folder or a Hub name.

    `limit` are the tokens of a row that a training keeps and the model can read. `key` is the hash of what decides
    every score: weights, tokenizer, chat template, precision.
    """

    name: str
    path: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    limit: int
    key: str

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return int(self.model.num_parameters())


def find_recipe(student: str) -> dict[str, Any]:
    """Return the training arguments of a student: a recipe's name or file, or a base model's folder or Hub name.

    A base that a shipped recipe names has its arguments, another one the defaults and its own chat template. Raises
    CotDistillError if it is none of these.
    """
    shipped = sorted(resource("training/recipes").glob("*.yaml"))
    recipes = {path.stem: recipe_arguments(path) for path in shipped}
    path = Path(student)
    if student in recipes:
        return recipes[student]
    if path.is_file():
        return recipe_arguments(path)
    if not (path.is_dir() or "/" in student):
        raise CotDistillError(
            f"There is no student {student!r}: pass a base model (a folder, or `owner/name` of the Hub), or a recipe "
            f"such as {nearest(student, recipes)}."
        )
    named = [recipe for recipe in recipes.values() if Path(recipe["model_name_or_path"]).resolve() == path.resolve()]
    return named[0] if named else {"model_name_or_path": student, "max_length": SFTConfig.max_length}


def load_base(student: str) -> Base:
    """Load the base model of a student (`find_recipe`), onto the accelerator if there is one.

    Raises CotDistillError if it cannot be loaded, has no weights or weights that are not finite, or if the template of
    its recipe does not fit its vocabulary.
    """
    recipe = find_recipe(student)
    path, revision = recipe["model_name_or_path"], recipe.get("model_revision") or "main"
    text, dtype = {name: recipe.get(name) for name in _TEXT}, recipe.get("dtype") or "float32"
    with errors_as_message(f"Cannot load {path}", {}):
        ensure_demo_student(path)
        names = SimpleNamespace(model_name_or_path=path, model_revision=revision)
        tokenizer = load_tokenizer(names, SimpleNamespace(**text))
        _check_bos(tokenizer)
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, trust_remote_code=False, use_safetensors=True, dtype=dtype
        )
        check_weights(model)
        parts = [base_hash(path, revision), tokenizer.get_chat_template(), text["eos_token"], text["pad_token"], dtype]
        if torch.accelerator.is_available():
            model.to(torch.accelerator.current_accelerator())
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = min(tokens for tokens in (recipe["max_length"], context, 1 << 20) if tokens)
    name = Path(recipe.get("student") or Path(path).name.lower()).name
    return Base(name, path, model, tokenizer, limit, digest(parts))


def _check_bos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Check the BOS token of a prompt, as a training does for every row."""
    turns = [{"role": "user", "content": "2 + 2?"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    check_prompt(tokens, tokenizer, room=len(tokens), bos_required=bos_rule(tokenizer).required)

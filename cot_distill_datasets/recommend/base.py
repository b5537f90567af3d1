"""The base model that is to become a student, with the tokenizer and chat template that its training would use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..errors import CotDistillError, nearest
from ..files import resource
from ..studies.keys import base_hash, digest, recipe_arguments, recipe_template
from ..training.failures import errors_as_message
from ..training.models import check_weights, ensure_demo_student, load_tokenizer


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Base:
    """A base model in memory. `name` is that of the student's folder below `runs/`, `path` a folder or a Hub name.

    `limit` are the tokens of a row that a training keeps and the model can read. `key` is the hash of the weights,
    the tokenizer, the chat template and the precision, which decide every score.
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

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device


def find_recipe(student: str) -> dict[str, Any]:
    """Return the arguments of a student's training: of a recipe's name or file, or of the folder or Hub name of a base.

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
            f"There is no student {student!r}: pass the folder of a base model, its name on the Hub (`owner/name`), or "
            f"a recipe such as {nearest(student, recipes)}."
        )
    named = [recipe for recipe in recipes.values() if Path(recipe["model_name_or_path"]).resolve() == path.resolve()]
    return named[0] if named else {}


def load_base(student: str) -> Base:
    """Load the base model of a student (`find_recipe`), onto the accelerator if there is one.

    Raises CotDistillError if it cannot be loaded, has no weights or weights that are not finite, or if the template of
    its recipe does not fit its vocabulary.
    """
    raise NotImplementedError

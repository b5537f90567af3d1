"""The parts of a cell's key: hashes of what decides a student and its answers, equal on every machine."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .. import provenance
from ..errors import CotDistillError
from ..evaluation.tasks import rows
from ..files import find_file
from ..names import DEMO_STUDENTS, untrained_dir
from ..training.recipes import read_recipe


# Prefixes of arguments that are not in a key. The base model and the template are hashed by their content.
NOT_HASHED = (*provenance.NOT_HASHED, "student", "model_name_or_path", "model_revision")


def recipe_arguments(path: Path) -> dict[str, Any]:
    """Return the arguments of a recipe, and our own defaults: a recipe may state one without changing the key.

    Raises CotDistillError if it cannot be used, or has no base model.
    """
    from ..training.arguments import SFTConfig, argument_types

    recipe = read_recipe(path, argument_types())
    if not recipe.get("model_name_or_path"):
        raise CotDistillError(f"The recipe {path} has no `model_name_or_path`: name a folder or a model of the Hub.")
    return {name: getattr(SFTConfig, name) for name in SFTConfig.__annotations__} | recipe


def recipe_template(recipe: Mapping[str, Any]) -> str | None:
    """Return the chat template of a recipe, or of its local base.

    It is None if `base_hash` decides it: by the commit of a base on the Hub, or the name of a demo student.
    """
    if path := recipe.get("chat_template_path"):
        return find_file(path, "training/templates", ".jinja").read_text(encoding="utf-8")
    name = recipe["model_name_or_path"]
    if _is_demo(name) or not Path(name).is_dir():
        return None
    return _base_template(name, recipe.get("eos_token"), recipe.get("pad_token"))


@lru_cache
def _base_template(name: str, eos_token: str | None, pad_token: str | None) -> str:
    from ..training.models import load_tokenizer

    tokenizer = load_tokenizer(
        SimpleNamespace(model_name_or_path=name, model_revision="main"),
        SimpleNamespace(chat_template_path=None, eos_token=eos_token, pad_token=pad_token),
    )
    return str(tokenizer.chat_template)


def _is_demo(name: str) -> bool:
    return name in {str(untrained_dir(student)) for student in DEMO_STUDENTS}


@lru_cache
def base_hash(name: str, revision: str) -> str:
    """Return the hash of a base model's weights, configs and tokenizer, or its commit on the Hub.

    The same model has the same hash on every machine. So the version of transformers that wrote a config is left out,
    and the weights of a demo student: they are drawn with a fixed seed, and torch rounds them differently on a CPU
    without AVX2 (aten/src/ATen/native/cpu/DistributionTemplates.h, `normal_fill_AVX2`).
    """
    if _is_demo(name):
        from ..training.models import ensure_demo_student

        ensure_demo_student(name)
    folder = Path(name)
    if folder.is_dir():
        configs = [path for path in (folder / "config.json", folder / "generation_config.json") if path.is_file()]
        files = [*([] if _is_demo(name) else sorted(folder.glob("*.safetensors"))), folder / "tokenizer.json"]
        return digest(
            [
                *(json.loads(path.read_text(encoding="utf-8")) | {"transformers_version": None} for path in configs),
                *(_file_hash(path) for path in files),
            ]
        )
    from transformers import AutoConfig

    return str(AutoConfig.from_pretrained(name, revision=revision)._commit_hash)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@lru_cache
def questions_hash(task: str, dataset: str, test_questions: int | None) -> str:
    """Return the hash of a task's test questions."""
    split = rows(task.removeprefix("cot_").removesuffix("_paper"), dataset, test_questions)["test"]
    return digest([list(split["id"]), list(split["answer"])])


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

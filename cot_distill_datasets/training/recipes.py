"""A recipe: a YAML of the arguments of `training/sft.py`."""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.dataclasses import type_validator
from yaml.constructor import ConstructorError

from ..errors import CotDistillError, nearest


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without repeated keys, of which PyYAML keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        for number, (key, _) in enumerate(node.value):
            if key.value in keys[:number]:
                raise ConstructorError(None, None, f"the key `{key.value}` is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


def read_recipe(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe, whose names and types are `types`.

    Raises CotDistillError if it cannot be read, is not in UTF-8, or has an unknown or repeated key or a wrong type.
    """
    try:
        recipe = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CotDistillError(f"Cannot read the recipe {path}: {' '.join(str(error).split())}.") from error
    if not isinstance(recipe, dict):
        raise CotDistillError(f"The recipe {path} is not a mapping of names to values.")
    for name, value in recipe.items():
        if name not in types:
            raise CotDistillError(
                f"The recipe {path} has an unknown argument {name!r}: use {nearest(str(name), types, limit=3)}."
            )
        _check_type(f"The recipe {path}", name, value, types[name])
    return recipe


def _check_type(place: str, name: str, value: Any, expected: Any) -> None:
    """Raise CotDistillError for a value of a wrong type. Text is parsed as on the command line, so any is right."""
    allowed = (expected, *typing.get_args(expected))
    try:
        if not isinstance(value, str) and not (type(value) is int and float in allowed):
            type_validator(name, value, expected)
    except TypeError as error:
        spelling = getattr(expected, "__name__", str(expected))
        raise CotDistillError(f"{place} has `{name}: {value!r}`, which is not of the type {spelling}.") from error

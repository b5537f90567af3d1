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

    Raises CotDistillError as `read_mapping` does, and if it has an unknown key or a value of a wrong type. Text is
    parsed as on the command line, so any is right.
    """
    recipe = read_mapping(path, "recipe")
    for name, value in recipe.items():
        if name not in types:
            raise CotDistillError(
                f"The recipe {path} has an unknown argument {name!r}: use {nearest(str(name), types, limit=3)}."
            )
        if not isinstance(value, str):
            check_type(f"The recipe {path}", name, value, types[name])
    return recipe


def read_mapping(path: Path, kind: str) -> dict[Any, Any]:
    """Return the content of a YAML file, which a message calls a `kind`.

    Raises CotDistillError if it cannot be read, is not in UTF-8, has a repeated key, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: of bytes, or of a date
        raise CotDistillError(f"Cannot read the {kind} {path}: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise CotDistillError(f"The {kind} {path} is not a mapping of names to values.")
    return content


def check_type(place: str, name: str, value: Any, expected: Any) -> None:
    """Raise CotDistillError for a value of a wrong type. A whole number is also a float."""
    allowed = (expected, *typing.get_args(expected))
    try:
        if not (type(value) is int and float in allowed):
            type_validator(name, value, expected)
    except TypeError as error:
        spelling = expected.__name__ if isinstance(expected, type) else str(expected).replace("typing.", "")
        raise CotDistillError(f"{place} has `{name}: {value!r}`, which is not of the type {spelling}.") from error

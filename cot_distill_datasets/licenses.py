"""Terms of the teachers' providers and licenses of the base models, read from `cards/licenses.yaml`."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .files import resource
from .names import DEMO_STUDENT, untrained_dir


class TeacherTerms(NamedTuple):
    """The terms of a teacher's provider, and what they say of models trained on its text."""

    source: str
    for_models: str


class BaseLicense(NamedTuple):
    """The license of a family of base models, and what it requires of the publisher of a student."""

    license: str  # the Hub's identifier
    name: str
    link: str
    requirements: list[str]
    credit: str | None = None  # must be displayed
    notice: str | None = None  # must be in a file `NOTICE` beside the weights


def teacher_terms(teacher: str) -> TeacherTerms:
    """Return the terms of a teacher; those of a teacher that is not listed are shown as unknown, never omitted."""
    return TeacherTerms(**_facts()["teachers"].get(teacher, _facts()["unknown_teacher"]))


def base_license(base_model: str) -> BaseLicense | None:
    """Return the license of a base model, by the name of its Hub repo or folder; None if its family is not known."""
    if base_model == str(untrained_dir(DEMO_STUDENT)):
        key = "apache"  # this package writes it
    elif prefix := _prefix(base_model):
        key = _facts()["families"][prefix]
    else:
        return None
    return BaseLicense(**_facts()["licenses"][key])


def license_spelling(base_model: str) -> str | None:
    """Return the name of a base model without owner or folder, spelled as its license requires; None if not known."""
    name, prefix = Path(base_model).name, _prefix(base_model)
    return prefix + name[len(prefix) :] if prefix else None


def _prefix(base_model: str) -> str | None:
    name = Path(base_model).name.lower()
    return next((prefix for prefix in _facts()["families"] if name.startswith(prefix.lower())), None)


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = yaml.safe_load(resource("cards/licenses.yaml").read_text(encoding="utf-8"))
    return facts

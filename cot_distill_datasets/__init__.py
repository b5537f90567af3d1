"""CoT supervision for small models: build and audit the dataset, load its rows, grade answers, evaluate students."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .errors import CotDistillError
    from .evaluation.results import Student
    from .evaluation.run import EvaluationConfig, evaluate, evaluate_students
    from .grading.answers import equivalent, extract, normalize
    from .names import ConfigName, Mixture
    from .release.audit import audit
    from .release.build import build
    from .training.data import load_rows

__all__ = [
    "ConfigName", "CotDistillError", "EvaluationConfig", "Mixture", "Student", "audit", "build", "equivalent",
    "evaluate", "evaluate_students", "extract", "load_rows", "normalize",
]  # fmt: skip
# Public name → its module, imported on first use: importing the package alone takes no time.
_MODULES = {
    "ConfigName": "names", "CotDistillError": "errors", "EvaluationConfig": "evaluation.run", "Mixture": "names",
    "Student": "evaluation.results", "audit": "release.audit", "build": "release.build",
    "equivalent": "grading.answers", "evaluate": "evaluation.run", "evaluate_students": "evaluation.run",
    "extract": "grading.answers", "load_rows": "training.data", "normalize": "grading.answers",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)

"""The public API: `from cot_distill_datasets import …`."""

import subprocess
import sys

import pytest

import cot_distill_datasets


NAMES = [
    "ConfigName", "CotDistillError", "EvaluationConfig", "Mixture", "Student", "audit", "build", "equivalent",
    "evaluate", "evaluate_students", "extract", "load_rows", "normalize",
]  # fmt: skip


def test_all_lists_the_public_names() -> None:
    assert cot_distill_datasets.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(cot_distill_datasets, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'bild'"):
        cot_distill_datasets.bild  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, cot_distill_datasets; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"datasets", "torch", "transformers", "numpy", "sympy", "yaml"} & set(loaded) == set()

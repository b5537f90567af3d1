"""A small study of the embedded benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import write_project

from cot_distill_datasets.studies.plan import Plan, make_plan
from cot_distill_datasets.studies.study import load_study


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 64 problems and the untrained demo student."""
    return write_project(tmp_path_factory.mktemp("small"), rows=64)


@pytest.fixture
def study_file(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a study file in a folder with a release and the untrained demo student."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a worker without GPUs changes it
    write_study(small_project, Path())
    return lambda **changed: write_study(small_project, Path(), **changed)


@pytest.fixture
def plan(study_file: Callable[..., Path]) -> Callable[..., Plan]:
    """Return a function that plans a study with changed settings."""
    return lambda **changed: make_plan(load_study(study_file(**changed)), Path("out"))


@pytest.fixture(scope="module")
def module_study(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a study file in a folder of its own, which the tests of a module share."""
    return lambda **changed: write_study(small_project, tmp_path_factory.mktemp("study"), **changed)


def write_study(project: Path, folder: Path, **changed: Any) -> Path:
    """Write a study file in a folder that has the release and the untrained demo student of a project."""
    if not (folder / "eit").exists():
        (folder / "eit").symlink_to(project / "eit")
        (folder / "runs/demo").mkdir(parents=True)
        (folder / "runs/demo/untrained").symlink_to(project / "runs/demo/untrained")
    content = {"students": ["demo"], "configs": ["oracle-l3-arith"], "seeds": [1], "backend": "hf", "threads": 1}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content | changed))
    return path

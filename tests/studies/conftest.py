"""A small study of the embedded benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources import arith
from cot_distill_datasets.training.models import write_untrained_demo


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 64 problems and the untrained demo student."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 64)
        build(folder / "eit/cot-distill")
    write_untrained_demo(folder / "runs/demo/untrained")
    return folder


@pytest.fixture
def study_file(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a study file in a folder with a release and the untrained demo student."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a worker without GPUs changes it
    write_study(small_project, Path())
    return lambda **changed: write_study(small_project, Path(), **changed)


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

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
    Path("eit").symlink_to(small_project / "eit")
    Path("runs").mkdir()
    Path("runs/demo").symlink_to(small_project / "runs/demo")

    def write(**changed: Any) -> Path:
        content = {"students": ["demo"], "configs": ["oracle-l3-arith"], "seeds": [1], "backend": "hf", "threads": 1}
        path = Path("small.yaml")
        path.write_text(yaml.safe_dump(content | changed))
        return path

    return write

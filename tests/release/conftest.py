"""A small audited release."""

import shutil
from pathlib import Path

import pytest
from support import change_index

from cot_distill_datasets.release.audit import audit
from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources import arith


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audited release of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 20)
        build(folder := tmp_path_factory.mktemp("built") / "release")
    assert audit(folder).broken == []
    return folder


@pytest.fixture
def release(built: Path, tmp_path: Path) -> Path:
    """A copy of `built` that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "release"))


@pytest.fixture
def paper(built: Path, tmp_path: Path) -> Path:
    """The same rows as the edition `paper`, without one config."""
    folder = Path(shutil.copytree(built, tmp_path / "paper"))
    shutil.rmtree(folder / "data/oracle-l6-arith")
    return change_index(folder, edition="paper")

"""A base model with known probabilities, and the untrained demo student with a release."""

from pathlib import Path

import pytest
from known_model import known_base
from support import write_project

from cot_distill_datasets.recommend.base import Base, load_base


@pytest.fixture
def known() -> Base:
    """A base model with known probabilities. Its tokens are words."""
    return known_base()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 40 problems and the untrained demo student."""
    return write_project(tmp_path_factory.mktemp("small"), rows=40)


@pytest.fixture(scope="session")
def demo(project: Path) -> Base:
    """The untrained demo student."""
    return load_base(str(project / "runs/demo/untrained"))

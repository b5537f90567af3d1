"""No network and no cache of the user: set before any Hugging Face library is imported."""

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores

import pytest
from hub_server import TOKEN, HubServer
from huggingface_hub import constants
from support import ROOT, SHARED, copy_upstream, write_project

from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources import arith


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub to publish to, for other processes."""
    with HubServer() as server:
        yield server


@pytest.fixture
def client(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The Hub of this process: what the variables of `HubServer.environment` set when they are read."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the client's retries
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


@pytest.fixture(scope="session")
def upstream() -> Path:
    """The paper's released files."""
    return _require(SHARED / "upstream")


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """The test sets."""
    return _require(SHARED / "benchmarks")


def _require(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


@pytest.fixture
def small_upstream(tmp_path: Path, stand_in: Path, few_problems: None) -> Path:
    """The stand-in's SVAMP files of the golds and two levels, and the manifest's entry for one missing file."""
    names = ("SVAMP_only_ans", "SVAMP_ChatGPT_level1", "SVAMP_ChatGPT_level2", "SVAMP_llama_level4")
    return copy_upstream(stand_in, tmp_path / "upstream", *names)


@pytest.fixture
def few_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `arith`, which every build includes, quick to build."""
    monkeypatch.setattr(arith, "TRAIN_SIZE", 50)


@pytest.fixture(scope="session")
def project_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release of `arith` and the untrained demo student, as `cot-distill demo` writes them."""
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def sft(monkeypatch: pytest.MonkeyPatch, project_dir: Path, tmp_path: Path) -> ModuleType:
    """`training/sft.py` as a module, in a folder with a release and an untrained demo student."""
    monkeypatch.chdir(tmp_path)
    Path("eit").symlink_to(project_dir / "eit")
    Path("runs/demo").mkdir(parents=True)
    shutil.copytree(project_dir / "runs/demo/untrained", "runs/demo/untrained")
    spec = importlib.util.spec_from_file_location("sft", ROOT / "training/sft.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def full_release(tmp_path_factory: pytest.TempPathFactory, upstream: Path, benchmarks: Path) -> Path:
    """A release from the real files."""
    folder = tmp_path_factory.mktemp("full") / "release"
    build(folder, upstream, benchmarks)
    return folder


@pytest.fixture(scope="session")
def stand_in() -> Path:
    """A small stand-in of the paper's released files, which is part of the repository (`tests/data/README.md`)."""
    return ROOT / "tests/data/upstream"


@pytest.fixture(scope="session")
def stand_in_benchmarks() -> Path:
    """A small stand-in of the test sets."""
    return ROOT / "tests/data/benchmarks"


@pytest.fixture(scope="session")
def stand_in_release(tmp_path_factory: pytest.TempPathFactory, stand_in: Path, stand_in_benchmarks: Path) -> Path:
    """A release from the stand-in, in the default edition. Copy it before you change it."""
    folder = tmp_path_factory.mktemp("stand_in") / "release"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 20)
        patch.setattr(arith, "TEST_SIZE", 20)
        build(folder, stand_in, stand_in_benchmarks)
    return folder

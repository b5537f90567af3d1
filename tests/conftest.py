"""No network and no cache of the user's: set before any Hugging Face library is imported."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores

import pytest

from cot_distill_datasets import arith
from cot_distill_datasets.build import build
from cot_distill_datasets.cli import main
from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.students import write_untrained_demo


ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def provenance_of(**known: Any) -> Provenance:
    """A provenance of which only `known` matters."""
    rest: dict[str, Any] = dict.fromkeys(("base_revision", "dataset_revision", "edition", "recipe", "lora"))
    rest |= {
        "student": "demo",
        "base_model": "org/base",
        "base_is_on_hub": True,
        "dataset": "eit/cot-distill",
        "config": "answer-arith",
    }
    rest |= {"data_files": {}, "train_examples": 1, "recipe_sha256": "1" * 64}
    rest |= {"arguments": {}, "settings": {}, "versions": {}}
    return Provenance(**rest | known)


def run_on_full_disk(*arguments: str, limit: int, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python where no file may grow over `limit` bytes: to a writer that is a disk that is full within a file.

    -B: the limit would cut bytecode too, of modules that every later process imports.
    """
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        **options,
    )


def cells(table: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return the rows `left | right` of each kind of answer; ∅ is an empty text, ⏎ a line break."""
    rows = [(kind, *line.strip().split(" | ")) for kind, lines in table.items() for line in lines.strip().splitlines()]
    return [(kind, left.replace("∅", "").replace("⏎", "\n"), right.replace("∅", "")) for kind, left, right in rows]


@pytest.fixture(scope="session")
def upstream() -> Path:
    """The paper's released files."""
    return _needed(SHARED / "upstream")


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """The test sets."""
    return _needed(SHARED / "benchmarks")


def _needed(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


def copy_upstream(upstream: Path, folder: Path, *names: str) -> Path:
    """Copy the entries `names` of the manifest, those of their files that are there, and the release's test splits."""
    data = folder / "data"
    data.mkdir(parents=True)
    manifest = json.loads((upstream / "data/dataset_info.json").read_bytes())
    (data / "dataset_info.json").write_text(json.dumps({name: manifest[name] for name in names}))
    for file in {manifest[name]["file_name"] for name in names}:
        if (upstream / "data" / file).is_file():
            (data / file).write_bytes((upstream / "data" / file).read_bytes())
    tests = "Evaluation/reasoning_eval"
    (folder / tests).mkdir(parents=True)
    for path in (upstream / tests).iterdir():
        (folder / tests / path.name).write_bytes(path.read_bytes())
    return folder


def run_build(out: Path, upstream: Path, benchmarks: Path, *more: str) -> int:
    """Run `cot-distill build` and return its exit code."""
    return main(["build", "--upstream", str(upstream), "--benchmarks", str(benchmarks), "--out", str(out), *more])


@pytest.fixture
def small_upstream(tmp_path: Path, upstream: Path, few_problems: None) -> Path:
    """The real SVAMP files of the golds and two levels, and the manifest's entry for one absent file."""
    names = ("SVAMP_only_ans", "SVAMP_ChatGPT_level1", "SVAMP_ChatGPT_level2", "SVAMP_llama_level4")
    return copy_upstream(upstream, tmp_path / "upstream", *names)


@pytest.fixture
def few_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a build, which always has `arith`, be quick with it."""
    monkeypatch.setattr(arith, "TRAIN_SIZE", 50)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release of `arith` and the untrained demo student, as `cot-distill demo` makes them."""
    folder = tmp_path_factory.mktemp("workplace")
    build(folder / "eit/cot-distill")
    write_untrained_demo(folder / "runs/demo/untrained")
    return folder


@pytest.fixture
def sft(monkeypatch: pytest.MonkeyPatch, workplace: Path, tmp_path: Path) -> ModuleType:
    """`training/sft.py` as a module, in a folder beside a release and an untrained demo student."""
    monkeypatch.syspath_prepend(ROOT / "training")
    monkeypatch.chdir(tmp_path)
    Path("eit").symlink_to(workplace / "eit")
    Path("runs/demo").mkdir(parents=True)
    shutil.copytree(workplace / "runs/demo/untrained", "runs/demo/untrained")
    import sft

    return sft


@pytest.fixture(scope="session")
def full_release(tmp_path_factory: pytest.TempPathFactory, upstream: Path, benchmarks: Path) -> Path:
    """A release from the real files."""
    folder = tmp_path_factory.mktemp("full") / "release"
    build(folder, upstream, benchmarks)
    return folder

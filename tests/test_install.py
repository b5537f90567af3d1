"""A plain install, from the built wheel, finds its tasks and files from any folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support import ROOT


SITE = Path(sysconfig.get_path("purelib"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of a virtual environment with our wheel, lm-eval linked file by file, and this one's other packages."""
    folder = tmp_path_factory.mktemp("plain")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", ".venv*", "runs", "eit", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    shutil.copytree(
        SITE / "lm_eval", site / "lm_eval", copy_function=_link, ignore=shutil.ignore_patterns("cot_distill")
    )
    (site / "others.pth").write_text(f"{SITE}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv/bin/python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", str(source)], check=True)
    shutil.rmtree(source)  # nothing may be read from the checkout
    return folder / "venv/bin"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _run(command: list[str | Path], cwd: Path) -> str:
    process = subprocess.run(command, cwd=cwd, text=True, capture_output=True, env=os.environ)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_lm_eval_finds_the_tasks_after_a_plain_install(plain_bin: Path, tmp_path: Path) -> None:
    code = (
        "from lm_eval.tasks import TaskManager\n"
        "import cot_distill_datasets\n"
        "print(cot_distill_datasets.__file__)\n"
        "print(*sorted(task for task in TaskManager().all_tasks if task.startswith('cot_')))\n"
        "print(TaskManager().load(['cot_arith'])['tasks'])\n"
    )
    package, tasks, _ = _run([plain_bin / "python", "-c", code], tmp_path).splitlines()
    assert Path(package).is_relative_to(plain_bin.parent)
    assert {"cot_aqua", "cot_arith", "cot_commonsense", "cot_csqa_paper", "cot_distill"} < set(tasks.split())


def test_a_plain_install_builds_and_its_rows_load(plain_bin: Path, tmp_path: Path) -> None:
    _run([plain_bin / "cot-distill", "build"], tmp_path)
    assert (tmp_path / "eit/cot-distill/README.md").is_file()
    code = (
        "from datasets import load_dataset\n"
        "print(load_dataset('eit/cot-distill', 'oracle-fine-arith', split='train').num_rows)"
    )
    assert _run([plain_bin / "python", "-c", code], tmp_path) == "5000\n"


def test_a_plain_install_finds_its_shipped_files(plain_bin: Path, tmp_path: Path) -> None:
    files = ["training/sft.py", "training/recipes/demo.yaml", "training/templates/gemma.yaml", "CHANGELOG.md"]
    code = f"from cot_distill_datasets.files import resource\nprint(all(resource(f).is_file() for f in {files}))"
    assert _run([plain_bin / "python", "-c", code], tmp_path) == "True\n"


def test_the_installed_lm_eval_command_evaluates_a_student(plain_bin: Path, project_dir: Path, tmp_path: Path) -> None:
    student = f"pretrained={project_dir / 'runs/demo/untrained'}"
    command = ["-m", "lm_eval", "--tasks", "cot_arith", "--model", "hf", "--model_args", student, "--limit", "2"]
    printed = _run([plain_bin / "python", *command, "--apply_chat_template"], tmp_path)
    assert "|cot_arith|" in printed and "exact_match" in printed


def test_lm_eval_finds_the_tasks_after_the_editable_install(tmp_path: Path) -> None:
    code = "from lm_eval.tasks import TaskManager\nprint('cot_gsm8k' in TaskManager().all_tasks)"
    assert _run([sys.executable, "-c", code], tmp_path) == "True\n"

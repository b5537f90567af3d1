"""A plain install, from the built wheel, finds its tasks and files from any folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
SITE = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def _run(bin_: Path, code: str, cwd: Path) -> str:
    ended = subprocess.run([bin_ / "python", "-c", code], cwd=cwd, text=True, capture_output=True, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_lm_eval_finds_the_tasks_after_a_plain_install(plain: Path, tmp_path: Path) -> None:
    code = (
        "from lm_eval.tasks import TaskManager\n"
        "import cot_distill_datasets\n"
        "print(cot_distill_datasets.__file__)\n"
        "print(sorted(task for task in TaskManager().all_tasks if task.startswith('cot_')))\n"
        "print(TaskManager().load(['cot_arith'])['tasks'])\n"
    )
    printed = _run(plain, code, tmp_path)
    assert str(plain.parent) in printed.splitlines()[0]
    assert "['cot_aqua', 'cot_arith', 'cot_commonsense', 'cot_csqa', 'cot_csqa_paper', 'cot_distill'," in printed


def test_a_plain_install_builds_and_finds_its_templates_and_recipes(plain: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [plain / "cot-distill", "build"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "eit/cot-distill/README.md").is_file()
    code = "from cot_distill_datasets.resources import resource\nprint(resource('training/sft.py').is_file())"
    assert _run(plain, code, tmp_path) == "True\n"


def test_lm_eval_finds_the_tasks_after_the_editable_install(tmp_path: Path) -> None:
    code = "from lm_eval.tasks import TaskManager\nprint('cot_gsm8k' in TaskManager().all_tasks)"
    assert _run(Path(sys.executable).parent, code, tmp_path) == "True\n"

"""A plain install, from the built wheel, finds its tasks and files from any folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT


SITE = Path(sysconfig.get_path("purelib"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # may be the checkout
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, built in a folder of its own: nothing may be read from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".git", ".venv*", "runs", "eit", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(folder / "source")]
    subprocess.run(pip, check=True)
    shutil.rmtree(folder / "source")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def plain_bin(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The bin/ of a virtual environment with our wheel, lm-eval linked file by file, and this one's other packages."""
    site = _make_venv(tmp_path_factory.mktemp("plain"))
    shutil.copytree(
        SITE / "lm_eval", site / "lm_eval", copy_function=_link, ignore=shutil.ignore_patterns("cot_distill")
    )
    (site / "others.pth").write_text(f"{SITE}\n")
    return _install(wheel, site)


@pytest.fixture(scope="module")
def base_bin(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The bin/ of a virtual environment with our wheel and links to what it requires without an extra."""
    site = _make_venv(tmp_path_factory.mktemp("base"))
    for name in _closure("cot-distill", "") - {"cot-distill"}:
        for entry in {path.parts[0] for path in distribution(name).files or ()} - {"..", "__pycache__"}:
            (site / entry).symlink_to(SITE / entry)
    return _install(wheel, site)


def _make_venv(folder: Path) -> Path:
    """Create a virtual environment in `folder`, and return its folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    return site


def _install(wheel: Path, site: Path) -> Path:
    venv = site.parents[2]
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True)
    return venv / "bin"


def _closure(name: str, extra: str) -> set[str]:
    """Return a distribution and all that it requires, by name."""
    names, pending = set(), [(name, extra)]
    for name, extra in pending:  # grows
        names.add(name)
        requirements = [Requirement(line) for line in distribution(name).requires or ()]
        for required in requirements:
            if not required.marker or required.marker.evaluate({"extra": extra}):
                new = [(canonicalize_name(required.name), extra) for extra in ("", *required.extras)]
                pending += [item for item in new if item not in pending]
    return names


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _run(command: list[str | Path], cwd: Path) -> str:
    process = subprocess.run(command, cwd=cwd, text=True, capture_output=True, env=ENVIRONMENT)
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


def test_an_install_without_extras_builds_audits_and_exports_and_its_rows_load(base_bin: Path, tmp_path: Path) -> None:
    for command in ("build", "audit", "export --to llamafactory --out exported"):
        _run([base_bin / "cot-distill", *command.split()], tmp_path)
    assert (tmp_path / "eit/cot-distill/README.md").is_file()
    code = (
        "from datasets import load_dataset\n"
        "print(load_dataset('eit/cot-distill', 'oracle-fine-arith', split='train').num_rows)"
    )
    assert _run([base_bin / "python", "-c", code], tmp_path) == "5000\n"


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("train --max_steps 2", "train"), ("train --help", "train"), ("demo", "train,eval,study"),
        ("evaluate s --tasks cot_arith --backend hf --model-args dtype=float32", "eval"), ("report s", "eval"),
        ("card s", "eval"), ("explore", "explore"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_sentence_with_its_pip_install(
    base_bin: Path, tmp_path: Path, command: str, extra: str
) -> None:
    words = [base_bin / "cot-distill", *command.split()]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"run `pip install 'cot-distill[{extra}]'`" in ended.stderr
    assert not any(tmp_path.iterdir())


def test_a_plain_install_trains_evaluates_and_describes_a_student_in_an_empty_folder(
    plain_bin: Path, tmp_path: Path
) -> None:
    program, student = plain_bin / "cot-distill", "runs/demo/oracle-l3-arith/seed100"
    _run([program, "train", "--accelerate", "cpu", "--config", "demo", "--max_steps", "2"], tmp_path)
    moved = (tmp_path / student).rename(tmp_path / "lr=1e-4,seed=1")  # lm-eval splits its arguments at commas
    _run([program, "evaluate", moved.name, "--tasks", "cot_arith", "--backend", "hf", "--limit", "4"], tmp_path)
    assert _run([program, "report", moved.name], tmp_path).splitlines()[-1].startswith(f"| {moved.name} ")
    assert (tmp_path / "runs/report.md").is_file()
    assert _run([program, "card", moved.name], tmp_path) == f"{moved.name}/README.md\n"
    (command,) = re.findall(r"^lm_eval .*", (moved / "README.md").read_text(), re.MULTILINE)
    arguments = shlex.split(command.replace("vllm", "hf").replace("auto", "4"))[1:]
    _run([plain_bin / "python", "-m", "lm_eval", *arguments, "--limit", "4"], tmp_path)
    assert len(list(moved.glob("results/**/results_*.json"))) == 2


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

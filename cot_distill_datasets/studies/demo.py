"""`cot-distill demo`: build `arith`, train the demo student on answers and on CoT, evaluate, and report.

Each stage is skipped if its result is complete.
"""

import os
import subprocess
import sys
from pathlib import Path

from ..errors import CotDistillError
from ..evaluation.results import Student
from ..evaluation.run import EvaluationConfig, evaluate
from ..files import resource
from ..messages import message
from ..names import DEMO_STUDENT, GRANULARITIES, RELEASE_NAME, student_dir, untrained_dir
from ..provenance import readable_provenance
from ..release.build import build
from ..release.folder import read_release
from ..reports.model_card import update_model_cards
from ..reports.report import write_report
from ..training.models import ensure_demo_student


SEED = 100
TASK = "cot_arith"
# accelerate warns of each of these that is not passed.
_ACCELERATE = ["--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]


def demo(*, all_levels: bool = False) -> str:
    """Run all stages, and return the table of scores. `all_levels` trains every granularity instead of l3."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is generated here
    levels = GRANULARITIES if all_levels else (3,)
    configs = ["answer-arith", *(f"oracle-l{level}-arith" for level in levels)]

    folder = Path(RELEASE_NAME)
    _announce(1, "build", folder)
    release = read_release(folder) or build(folder)
    files = {stats.name: stats.file for stats in release.configs}
    untrained = untrained_dir(DEMO_STUDENT)
    ensure_demo_student(str(untrained))

    trained = [student_dir(DEMO_STUDENT, config, SEED) for config in configs]
    for config, trained_folder in zip(configs, trained):
        _announce(2, f"train on {config}", trained_folder)
        train(trained_folder, config, files[config])

    students = []
    for path in (untrained, *trained):
        _announce(3, f"evaluate on {TASK}", path)
        student = Student.open(path)
        students.append(student)
        evaluate(student, [TASK], EvaluationConfig(backend="hf"))
        if student.provenance:
            update_model_cards(student)
    _announce(4, "report", untrained.parent / "report.md")
    return write_report(untrained.parent, students)


def train(student: Path, config: str, data_file: str) -> None:
    """Train the demo student in its own process, unless it is complete and was trained on these rows.

    Raises CotDistillError if the training fails.
    """
    provenance = readable_provenance(student)
    if provenance and provenance.data_files == {config: data_file}:
        message(f"The student in {student} is complete.")
        return
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--quiet", *_ACCELERATE,
        str(resource("training/sft.py")), "--dataset_config", config, "--seed", str(SEED),
    ]  # fmt: skip
    if code := subprocess.run(command, check=False).returncode:
        raise CotDistillError(f"The training on {config} failed with exit code {code}: see above.")


def _announce(stage: int, action: str, path: Path) -> None:
    message(f"\n[{stage}/4] {action}: {path}")

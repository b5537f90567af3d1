"""A study: cells (student × config × seed), each trained by `training/sft.py` and evaluated through lm-eval.

The demo is the smallest one. A cell lives in `runs/{student}/{config}/seed{n}/`; what is whole is not made again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .build import build
from .evaluate import Evaluation, evaluate
from .model_card import update_model_cards
from .provenance import whole_student
from .release import read_release
from .report import write_report
from .resources import resource
from .students import UNTRAINED_DEMO, write_untrained_demo
from .taxonomy import GRANULARITIES, RELEASE_NAME, CotDistillError


SEED = 100


@dataclass(frozen=True)
class Cell:
    """One point of a study."""

    student: str
    config: str
    seed: int = SEED

    @property
    def folder(self) -> Path:
        """Where the trained student lies."""
        return Path("runs") / self.student / self.config / f"seed{self.seed}"


def demo(*, all_levels: bool = False) -> Path:
    """Build `arith`, train the demo student on answers alone and on CoT, evaluate, and return the report's path."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is made here; nothing is to be asked of the Hub
    levels = GRANULARITIES if all_levels else (3,)
    cells = [Cell("demo", config) for config in ("answer-arith", *(f"oracle-l{level}-arith" for level in levels))]

    release = Path(RELEASE_NAME)
    _say(1, "build", release)
    if (found := read_release(release)) is None:
        found = build(release)
    files = {stats.name: stats.file for stats in found.configs}
    if not UNTRAINED_DEMO.is_dir():
        write_untrained_demo(UNTRAINED_DEMO)

    for cell in cells:
        _say(2, f"train on {cell.config}", cell.folder)
        train(cell, files[cell.config])

    students = [UNTRAINED_DEMO, *(cell.folder for cell in cells)]
    for folder in students:
        _say(3, "evaluate on cot_arith", folder)
        evaluate(folder, ["cot_arith"], Evaluation(backend="hf"))
    update_model_cards([cell.folder for cell in cells])
    _say(4, "report", Path("runs/demo/report.md"))
    return write_report(Path("runs/demo"), students)


def train(cell: Cell, data_file: str) -> None:
    """Train a cell in a process of its own, unless its student is whole and learned from just these rows.

    Raises:
        CotDistillError: the training ended with an error.
    """
    made = whole_student(cell.folder)
    if made and made.data_files == {cell.config: data_file}:
        return
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", str(resource("training/sft.py")),
        "--dataset_config", cell.config, "--seed", str(cell.seed),
    ]  # fmt: skip
    ended = subprocess.run(command, check=False)
    if ended.returncode:
        raise CotDistillError(f"The training on {cell.config} ended with exit code {ended.returncode}: see above.")


def _say(stage: int, what: str, where: Path) -> None:
    print(f"\n[{stage}/4] {what}: {where}", file=sys.stderr, flush=True)

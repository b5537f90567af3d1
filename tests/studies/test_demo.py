"""The demo: it builds the embedded data and runs the study `demo`, and what is complete is not done again."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cot_distill_datasets.names import DEMO_STUDENT, student_dir
from cot_distill_datasets.studies.demo import demo_plan


# Few rows and questions; the trainings and evaluations are real, in their own processes.
CODE = """
import sys
from dataclasses import replace
from cot_distill_datasets.cli import main
from cot_distill_datasets.sources import arith
from cot_distill_datasets.studies import plan, study
arith.TRAIN_SIZE = 64
plan.load_study = lambda path: replace(study.load_study(path), test_questions=12)
sys.exit(main(["demo"]))
"""


def _run(folder: Path, log: Path) -> list[str]:
    with log.open("wb") as file:
        subprocess.run([sys.executable, "-c", CODE], cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=True)
    return log.read_bytes().decode().split("\n")[:-1]


def test_the_demo_plans_both_students_and_the_untrained_one_on_data_that_it_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_problems: None
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = demo_plan()
    configs = Counter(planned.cell.config for planned in plan.cells)
    assert configs == {"untrained": 2, "answer-arith": 1, "oracle-l3-arith": 1} and not plan.missing
    index = Path("eit/cot-distill/release.json")
    built = index.stat().st_mtime_ns
    assert demo_plan().cells == plan.cells and index.stat().st_mtime_ns == built


@pytest.mark.slow
def test_a_demo_written_to_a_file_is_short_has_no_bars_and_ends_with_the_table(tmp_path: Path) -> None:
    lines = _run(tmp_path, tmp_path / "log")
    assert len(lines) < 120
    assert re.findall(r"[\r\x1b█▏]|it/s|\d%\||'loss'|Warning|fatal|kwargs", "\n".join(lines)) == []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| demo ")]
    assert [row[2].rstrip("†") for row in rows] == [
        "untrained, 0 shots", "untrained, 4 shots", "answer-arith", "oracle-l3-arith",
    ]  # fmt: skip
    assert lines[-1].startswith("| demo ")

    folder = tmp_path / student_dir(DEMO_STUDENT, "oracle-l3-arith", 100)
    logged = (folder / "train.log").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [1, 10, 10]  # the last one has the training's totals
    assert folder.resolve().parent == tmp_path / "runs/cells" and "cot_arith" in (folder / "README.md").read_text()
    page = (tmp_path / "runs/studies/demo/report.md").read_text()
    assert "`oracle-l3-arith`" in page and (tmp_path / "runs/studies/demo/scores.png").is_file()
    assert page.count("```text") == 5  # the first question, and four answers
    assert (tmp_path / "runs/studies/demo/report.html").read_text().count("<svg") == 2  # scores and losses

    weights = (folder / "model.safetensors").stat().st_mtime_ns
    assert _run(tmp_path, tmp_path / "second")[-6:] == lines[-6:]
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights

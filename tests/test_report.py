import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml
from PIL import Image

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.benchmarks import GROUPS
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.report import ReportRow, macro_rows, read_rows, table
from cot_distill_datasets.scores import Score


ROOT = Path(__file__).parent.parent
SCORE = Score(
    task="cot_arith", version=1.0, n=200, limit=None, correct=150, flexible_correct=160, no_answer=4, capped=8,
    completed_correct=150, timed_out=0, mean_output_tokens=21.5, approximate=False, command="cot-distill evaluate …",
    prompt="2 + 2?", gold="4", answer="2 + 2 = 4.\nThe answer is 4",
)  # fmt: skip


def test_a_row_has_the_wilson_interval() -> None:
    low, high = ReportRow(Path("runs/x"), SCORE, None).interval
    assert (round(low, 4), round(high, 4)) == (0.6857, 0.8049)  # Wilson 1927, checked by hand


def test_the_table_has_every_count_as_a_share() -> None:
    assert table([ReportRow(Path("runs/x/seed1"), SCORE, None)]).splitlines()[2] == (
        "| x/seed1 | cot_arith | 200 | 75.0 % | 68.6 – 80.5 | 80.0 % | 2.0 % | 4.0 % | 78.1 % | 21.5 |"
    )


def test_a_group_has_its_macro_average_where_every_task_is_there() -> None:
    rows = [
        ReportRow(Path("runs/x"), replace(SCORE, task=f"cot_{benchmark}", n=n, correct=correct), None)
        for benchmark, n, correct in (("csqa", 100, 50), ("obqa", 1000, 800), ("strategyqa", 10, 5))
    ]
    (macro,) = macro_rows(rows)
    assert (macro.group, round(macro.accuracy, 4)) == ("cot_commonsense", 0.6)  # of all questions: 0.7703
    # sqrt(0.0962² + 0.0259² + 0.2634²) / 3 below, and as much above: the distances of Wilson's limits
    assert [round(end, 3) for end in macro.interval] == [0.506, 0.694]
    assert (
        table(rows)
        .splitlines()[-1]
        .startswith("| x | **cot_commonsense**, macro average of 3 | 1110 | 60.0 % | 50.6 – 69.4 |")
    )
    assert macro_rows(rows[:2]) == []
    trial = ReportRow(Path("runs/x"), replace(rows[2].score, limit=10), None)
    assert macro_rows([*rows[:2], trial]) == []


def test_a_macro_average_of_nothing_right_has_an_interval_above_zero() -> None:
    rows = [
        ReportRow(Path("runs/x"), replace(SCORE, task=f"cot_{name}", correct=0), None)
        for name in GROUPS["cot_commonsense"]
    ]
    (macro,) = macro_rows(rows)
    assert macro.interval[0] == 0 and 0.01 < macro.interval[1] < 0.02


def test_two_versions_of_a_task_are_not_compared(workplace: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(workplace / "runs/demo/untrained", tmp_path / name)
        evaluate(tmp_path / name, ["cot_arith"], Evaluation(backend="hf", limit=1))
    (path,) = (tmp_path / "two").rglob("results_*.json")
    path.write_text(path.read_text().replace('"cot_arith": 1.1', '"cot_arith": 1.0'))
    with pytest.raises(CotDistillError, match=r"`cot_arith` was asked in several versions \(\[1.0, 1.1\]\)"):
        read_rows([tmp_path / "one", tmp_path / "two"])


def test_the_groups_are_those_of_lm_eval() -> None:
    members = {group: load_yaml(ROOT / f"eval_tasks/{group}.yaml")["task"] for group in GROUPS}
    tasks = {group: [f"cot_{benchmark}" for benchmark in benchmarks] for group, benchmarks in GROUPS.items()}
    assert members["cot_distill"] == ["cot_math_reasoning", "cot_commonsense"]
    assert members["cot_math_reasoning"] == tasks["cot_math_reasoning"]
    assert members["cot_commonsense"] == tasks["cot_commonsense"]
    assert tasks["cot_distill"] == members["cot_math_reasoning"] + members["cot_commonsense"]


def test_the_report_has_the_numbers_the_figure_the_command_and_an_answer(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    students = [Path("runs/one"), Path("runs/two")]
    for student in students:
        shutil.copytree(workplace / "runs/demo/untrained", student)
        evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    assert main(["report", *map(str, students), "--out", "out"]) == 0
    text = Path("out/report.md").read_text()
    assert "| one | cot_arith | 2 | 0.0 % | 0.0 – 65.8 | 0.0 % | 100.0 % | 100.0 % | – | 224.0 |" in text
    assert "cot-distill evaluate runs/two --tasks cot_arith --backend hf --limit 2" in text
    assert "How many" in text and "Gold: **" in text and "≈" not in text
    assert [row["student"] for row in json.loads(Path("out/report.json").read_text())] == ["runs/one", "runs/two"]
    with Image.open("out/report.png") as figure:
        assert figure.width > 1000

import json
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from support import make_provenance

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation.results import Student
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate
from cot_distill_datasets.evaluation.scores import Score, macro_scores
from cot_distill_datasets.evaluation.tasks import groups
from cot_distill_datasets.reports.report import write_report
from cot_distill_datasets.reports.tables import score_table


SCORE = Score(
    student=Path("runs/x/seed1"), task="cot_arith", version=1.0, n=200, limit=None, correct=150, flexible_correct=160,
    no_answer=4, truncated=8, finished_correct=150, timed_out=0, mean_output_tokens=21.5, estimated=False,
    command="cot-distill evaluate …", prompt="2 + 2?", gold="4", answer="2 + 2 = 4.\nThe answer is 4",
)  # fmt: skip


def test_the_interval_of_a_score_is_wilsons() -> None:
    low, high = SCORE.interval
    assert (round(low, 4), round(high, 4)) == (0.6857, 0.8049)  # Wilson 1927, calculated by hand


def test_the_table_shows_every_count_as_a_share() -> None:
    assert score_table([SCORE]).splitlines()[2] == (
        "| x/seed1 | cot_arith | 200 | 75.0% | 68.6 – 80.5 | 80.0% | 2.0% | 4.0% | 78.1% | 21.5 |"
    )


def test_a_group_has_a_macro_average_if_all_its_tasks_have_scores() -> None:
    scores = [
        replace(SCORE, task=f"cot_{benchmark}", n=n, correct=correct)
        for benchmark, n, correct in (("csqa", 100, 50), ("obqa", 1000, 800), ("strategyqa", 10, 5))
    ]
    (macro,) = macro_scores(scores, groups())
    assert (macro.group, round(macro.accuracy, 4)) == ("cot_commonsense", 0.6)  # over all questions: 0.7703
    # Below: sqrt(0.0962² + 0.0259² + 0.2634²) / 3, the distances to Wilson's limits. Above: the same.
    assert [round(end, 3) for end in macro.interval] == [0.506, 0.694]
    assert (
        score_table(scores)
        .splitlines()[-1]
        .startswith("| x/seed1 | **cot_commonsense**, macro average of 3 | 1110 | 60.0% | 50.6 – 69.4 |")
    )
    assert macro_scores(scores[:2], groups()) == []
    assert macro_scores([*scores[:2], replace(scores[2], limit=10)], groups()) == []


def test_the_interval_of_a_macro_average_of_0_ends_above_0() -> None:
    scores = [replace(SCORE, task=task, correct=0) for task in groups()["cot_commonsense"]]
    (macro,) = macro_scores(scores, groups())
    assert macro.interval[0] == 0 and 0.01 < macro.interval[1] < 0.02


def test_the_group_of_all_tasks_contains_the_tasks_of_its_groups() -> None:
    assert groups() == {
        "cot_math_reasoning": ["cot_svamp", "cot_gsm8k", "cot_aqua", "cot_math"],
        "cot_commonsense": ["cot_csqa", "cot_obqa", "cot_strategyqa"],
        "cot_distill": [
            "cot_svamp", "cot_gsm8k", "cot_aqua", "cot_math", "cot_csqa", "cot_obqa", "cot_strategyqa",
        ],
    }  # fmt: skip


def _evaluate_copy(untrained: Path, folder: Path, limit: int) -> Student:
    student = Student.open(Path(shutil.copytree(untrained, folder)))
    evaluate(student, ["cot_arith"], EvaluationConfig(backend="hf", limit=limit))
    return student


@pytest.mark.slow
def test_results_of_two_versions_of_a_task_are_not_compared(project_dir: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _evaluate_copy(project_dir / "runs/demo/untrained", tmp_path / name, limit=1)
    (path,) = (tmp_path / "two").rglob("results_*.json")
    path.write_text(re.sub(r'"cot_arith": 1\.\d', '"cot_arith": 0.9', path.read_text()))
    with pytest.raises(CotDistillError, match=r"`cot_arith`.*\[0\.9, 1\.\d\]"):
        write_report(tmp_path / "out", [Student.open(tmp_path / name) for name in ("one", "two")])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_has_the_scores_a_figure_the_commands_and_an_answer(
    project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        _evaluate_copy(project_dir / "runs/demo/untrained", Path("runs") / name, limit=2)
    assert main(["report", "runs/one", "runs/two", "--out", "out"]) == 0
    text = Path("out/report.md").read_text()
    assert "| one | cot_arith | 2 | 0.0% | 0.0 – 65.8 | 0.0% | 100.0% | 100.0% | – | 224.0 |" in text
    assert "cot-distill evaluate runs/two --tasks cot_arith --backend hf --limit 2" in text
    assert "How many" in text and "Gold: **" in text and "≈" not in text
    assert [row["student"] for row in json.loads(Path("out/report.json").read_text())] == ["runs/one", "runs/two"]
    with Image.open("out/report.png") as figure:
        assert figure.width > 1000


@pytest.mark.slow
def test_the_report_of_a_student_contains_its_untrained_baseline_or_says_how_to_add_it(
    project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    student = _evaluate_copy(project_dir / "runs/demo/untrained", Path("runs/demo/l3/seed1"), limit=1).folder
    template = sha256((student / "chat_template.jinja").read_bytes()).hexdigest()
    make_provenance(chat_template_sha256=template).write(student)
    assert main(["report", str(student)]) == 0
    assert "`runs/demo/untrained`, the untrained baseline" in Path("runs/report.md").read_text()
    shutil.copytree(student, "runs/demo/untrained", ignore=shutil.ignore_patterns("provenance.json"))
    assert main(["report", str(student)]) == 0
    text = Path("runs/report.md").read_text()
    assert "untrained baseline" not in text
    assert [line.split("|")[1].strip() for line in text.splitlines()[4:6]] == ["demo/untrained", "demo/l3/seed1"]

"""The demo's stages, cut short: each is skipped when its result is there."""

import json
from pathlib import Path

import pytest

from cot_distill_datasets import study
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluate import Score


@pytest.fixture
def cut_short(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the two long stages, a training of minutes and an evaluation; everything around them is real."""
    done: list[str] = []

    def train(command: list[str], check: bool) -> object:
        config = command[command.index("--dataset_config") + 1]
        done.append(f"train {config}")
        folder = Path("runs/demo") / config / "seed100"
        folder.mkdir(parents=True)
        release = json.loads(Path("eit/cot-distill/release.json").read_text())
        (file,) = [stats["file"] for stats in release["configs"] if stats["name"] == config]
        made = {"student": "demo", "base_model": "x", "dataset": "y", "edition": "clean", "config": config}
        made |= {"data_file": file, "train_examples": 5000, "settings": {}, "hardware": "z", "train_seconds": 60.0}
        (folder / "provenance.json").write_text(json.dumps(made))
        return type("Ended", (), {"returncode": 0})

    def evaluate(folder: Path, task: str, out: Path) -> Score:
        done.append(f"evaluate {folder}")
        return Score(task, 500, 400, 20.0, "2 + 2?", "4", "The answer is 4")

    monkeypatch.chdir(workplace)
    monkeypatch.setattr(study.subprocess, "run", train)
    monkeypatch.setattr("cot_distill_datasets.evaluate.evaluate", evaluate)
    return done


def test_every_stage_runs_once_and_is_skipped_the_second_time(
    cut_short: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "runs/demo/report.md\n"
    assert cut_short == [
        "train answer-arith",
        "train oracle-l3-arith",
        "evaluate runs/demo/untrained",
        "evaluate runs/demo/answer-arith/seed100",
        "evaluate runs/demo/oracle-l3-arith/seed100",
    ]
    cut_short.clear()
    assert main(["demo"]) == 0
    assert cut_short == []
    rows = json.loads(Path("runs/demo/report.json").read_text())
    assert [row["config"] for row in rows] == [None, "answer-arith", "oracle-l3-arith"]
    assert {row["train_examples"] for row in rows[1:]} == {5000}

    assert main(["demo", "--levels", "all"]) == 0
    assert [stage for stage in cut_short if stage.startswith("train")] == [
        f"train oracle-l{level}-arith" for level in (1, 2, 4, 5, 6)
    ]

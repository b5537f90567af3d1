"""The demo's stages, cut short: each is skipped when its result is there."""

import json
import shutil
import subprocess
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import provenance_of

from cot_distill_datasets import study
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluate import Evaluation


@pytest.fixture
def cut_short(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the trainings of minutes, and let the evaluations ask one question; everything else is real."""
    done: list[str] = []

    run = subprocess.run

    def train(command: list[str], **options: Any) -> object:
        if "--dataset_config" not in command:  # lm-eval asks git for its revision
            return run(command, **options)
        config = command[command.index("--dataset_config") + 1]
        done.append(f"train {config}")
        folder = Path("runs/demo") / config / "seed100"
        shutil.copytree("runs/demo/untrained", folder)
        release = json.loads(Path("eit/cot-distill/release.json").read_text())
        (file,) = [stats["file"] for stats in release["configs"] if stats["name"] == config]
        template = sha256((folder / "chat_template.jinja").read_bytes()).hexdigest()
        made = {"data_files": {config: file}, "train_examples": 5000, "chat_template_sha256": template}
        provenance_of(config=config, **made).write(folder)
        return type("Ended", (), {"returncode": 0})

    monkeypatch.chdir(shutil.copytree(workplace, tmp_path / "workplace"))  # the demo leaves results in it
    monkeypatch.setattr(study.subprocess, "run", train)
    monkeypatch.setattr(study, "Evaluation", partial(Evaluation, limit=1))
    return done


def test_every_stage_runs_once_and_is_skipped_the_second_time(
    cut_short: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "runs/demo/report.md\n"
    assert cut_short == ["train answer-arith", "train oracle-l3-arith"]
    results = sorted(Path("runs/demo").rglob("results_*.json"))
    assert [path.parts[2] for path in results] == ["answer-arith", "oracle-l3-arith", "untrained"]
    assert "cot_arith" in Path("runs/demo/answer-arith/seed100/README.md").read_text()
    cut_short.clear()
    assert main(["demo"]) == 0
    assert cut_short == [] and sorted(Path("runs/demo").rglob("results_*.json")) == results
    rows = json.loads(Path("runs/demo/report.json").read_text())
    assert [row.get("config") for row in rows] == [None, "answer-arith", "oracle-l3-arith"]
    assert {row["train_examples"] for row in rows[1:]} == {5000}

    assert main(["demo", "--levels", "all"]) == 0
    assert cut_short == [f"train oracle-l{level}-arith" for level in (1, 2, 4, 5, 6)]

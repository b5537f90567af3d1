"""The stages of the demo, with fake trainings and short evaluations: each is skipped if its result is complete."""

import json
import shutil
import subprocess
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support import make_provenance

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation.run import EvaluationConfig
from cot_distill_datasets.studies import demo


@pytest.fixture
def trainings(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the trainings, which take minutes, and limit the evaluations to one question. Lists the configs."""
    configs: list[str] = []
    run = subprocess.run

    def train(command: list[str], **options: Any) -> object:
        if "--dataset_config" not in command:  # lm-eval calls git for its revision
            return run(command, **options)
        config = command[command.index("--dataset_config") + 1]
        configs.append(config)
        folder = Path("runs/demo") / config / "seed100"
        shutil.copytree("runs/demo/untrained", folder)
        release = json.loads(Path("eit/cot-distill/release.json").read_text())
        (file,) = [stats["file"] for stats in release["configs"] if stats["name"] == config]
        template = sha256((folder / "chat_template.jinja").read_bytes()).hexdigest()
        values = {"data_files": {config: file}, "train_examples": 5000, "chat_template_sha256": template}
        make_provenance(config=config, **values).write(folder)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(shutil.copytree(project_dir, tmp_path / "project_dir"))  # the demo writes results into it
    monkeypatch.setattr(subprocess, "run", train)
    monkeypatch.setattr(demo, "EvaluationConfig", partial(EvaluationConfig, limit=1))
    return configs


@pytest.mark.slow
def test_every_stage_runs_once_and_is_skipped_the_second_time(
    trainings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "runs/demo/report.md\n"
    assert trainings == ["answer-arith", "oracle-l3-arith"]
    results = sorted(Path("runs/demo").rglob("results_*.json"))
    assert [path.parts[2] for path in results] == ["answer-arith", "oracle-l3-arith", "untrained"]
    assert "cot_arith" in Path("runs/demo/answer-arith/seed100/README.md").read_text()
    trainings.clear()
    assert main(["demo"]) == 0
    assert trainings == [] and sorted(Path("runs/demo").rglob("results_*.json")) == results
    rows = json.loads(Path("runs/demo/report.json").read_text())
    assert [row.get("config") for row in rows] == [None, "answer-arith", "oracle-l3-arith"]
    assert {row["train_examples"] for row in rows[1:]} == {5000}

    assert main(["demo", "--levels", "all"]) == 0
    assert trainings == [f"oracle-l{level}-arith" for level in (1, 2, 4, 5, 6)]


def test_a_failed_training_raises_an_error_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3))
    with pytest.raises(CotDistillError, match=r"answer-arith .*3"):
        demo.train(tmp_path, "answer-arith", "x.parquet")

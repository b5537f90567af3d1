"""The stages of the demo, with fake trainings and short evaluations: each is skipped if its result is complete."""

import json
import re
import shutil
import subprocess
import sys
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

    def train(command: list[str], **options: Any) -> object:
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
    output = capsys.readouterr()
    assert [line.split()[1] for line in output.out.splitlines()[2:]] == [
        "demo/untrained", "demo/answer-arith/seed100", "demo/oracle-l3-arith/seed100",
    ]  # fmt: skip
    assert "runs/demo/report.md" in output.err
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


@pytest.mark.slow
def test_a_demo_written_to_a_file_is_short_has_no_bars_and_ends_with_the_table(tmp_path: Path) -> None:
    code = (
        "import sys; from cot_distill_datasets.sources import arith; arith.TRAIN_SIZE, arith.TEST_SIZE = 64, 4\n"
        "from cot_distill_datasets.cli import main; sys.exit(main(['demo']))"
    )
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, check=True)
    text = (tmp_path / "log").read_bytes().decode()
    lines = text.split("\n")[:-1]
    assert len(lines) < 120
    assert re.findall(r"[\r\x1b█▏]|it/s|\d%\||'loss'|Warning|fatal|kwargs", text) == []
    stages = [line[:5] for line in lines if line.startswith("[") and "/4]" in line]
    assert stages == ["[1/4]", "[2/4]", "[2/4]", "[3/4]", "[3/4]", "[3/4]", "[4/4]"]
    assert lines[-1].startswith("| demo/oracle-l3-arith/seed100 | cot_arith |") and "report.md" not in lines[-1]
    logged = (tmp_path / "runs/demo/oracle-l3-arith/seed100/train.log").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [1, 10, 10]  # the last one has the training's totals


def test_a_failed_training_raises_an_error_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3))
    with pytest.raises(CotDistillError, match=r"answer-arith .*3"):
        demo.train(tmp_path, "answer-arith", "x.parquet")

"""Studies run for real: Ray, trainings in their own processes, kills, and two runs at once."""

import dataclasses
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support import ROOT, TINY

from cot_distill_datasets.cli import main
from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.studies.plan import Plan, plan_file
from cot_distill_datasets.studies.records import write_record
from cot_distill_datasets.studies.run import (
    ATTEMPTS,
    EVALUATED_AT_ONCE,
    _reason,
    run_study,
    students_per_task,
    training_order,
)


StudyFile = Callable[..., Path]
COMMAND = [sys.executable, "-m", "cot_distill_datasets.cli", "study", "run", "small.yaml", "--out", "out"]


def _outcomes() -> pa.Table:
    return pq.read_table("out/outcomes.parquet")


def _plan() -> Plan:
    return plan_file("small.yaml", Path("out"))


def _trainings() -> list[int]:
    """Return how many times each student was trained, by its log."""
    logs = [path.read_text() for path in Path("runs/cells").glob("*.log")]
    return sorted(log.count("Saving the student") for log in logs)


def test_without_ray_a_study_says_what_to_install(
    study_file: StudyFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file(**TINY)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["study", "run", "small.yaml", "--out", "out"]) == 2
    assert "'cot-distill[train,eval,study]'" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("runs/cells").exists()


def test_a_dry_run_shows_the_cells_and_writes_nothing(
    study_file: StudyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file(**TINY)
    assert main(["study", "run", "small.yaml", "--out", "out", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "demo\toracle-l3-arith max_steps=4\t1\t0\t10.0\t" in "\n".join(lines) and "Missing: 4 cells" in lines[-1]
    assert not Path("out").exists()


def test_the_base_precedes_the_trainings_and_the_longest_of_them_is_first(study_file: StudyFile) -> None:
    study_file(**TINY, configs=["oracle-l1-arith", "oracle-l6-arith"])
    order = dict.fromkeys(planned.cell.config for planned in training_order(_plan(), _plan().cells))
    assert list(order) == ["untrained", "oracle-l6-arith", "oracle-l1-arith", "answer-arith"]


@pytest.mark.parametrize("places", [1, 2, 8])
def test_evaluations_are_divided_among_all_places(places: int) -> None:
    for students in range(1, 100):
        size = students_per_task(students, places)
        full, rest = divmod(students, size)
        assert size <= EVALUATED_AT_ONCE
        assert (full + bool(rest)) / places <= math.ceil(students / (places * EVALUATED_AT_ONCE))  # rounds of tasks


def test_a_cluster_that_does_not_answer_is_named(
    study_file: StudyFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file(**TINY)
    with socket.socket() as closed:  # bound, but nothing listens
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert main(["study", "run", "small.yaml", "--out", "out"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert address in line and "RAY_ADDRESS" in line


@pytest.mark.parametrize(("setting", "words"), [({"gpus": 2}, "`gpus: 2`"), ({"backend": "vllm"}, "vllm`")])
def test_gpus_and_a_backend_that_cells_cannot_use_are_bad_input(
    study_file: StudyFile, capsys: pytest.CaptureFixture[str], setting: dict[str, Any], words: str
) -> None:
    study_file(**TINY | setting)
    assert main(COMMAND[3:]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not Path("runs/cells").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("foo"), "KeyError: 'foo'"),
        (CotDistillError("The disk is full."), "The disk is full."),
        (RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB."), "RuntimeError: CUDA out of memory."),
    ],
)
def test_the_reason_of_a_failed_cell_is_one_line_with_the_type_of_an_error_that_is_not_ours(
    error: Exception, reason: str
) -> None:
    assert _reason(error) == reason


@pytest.mark.slow
def test_a_killed_study_is_resumed_with_the_same_outcomes_and_a_complete_one_does_nothing(
    study_file: StudyFile,
) -> None:
    study_file(**TINY)
    with subprocess.Popen(COMMAND, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while not list(Path().glob("runs/cells/*/provenance.json")):
            assert process.poll() is None
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    assert not _plan().is_complete(_plan().cells[-1])
    assert main(COMMAND[3:]) == 0
    resumed = _outcomes()
    assert _trainings() == [0, 1, 1]  # the base is not trained
    assert resumed.num_rows == 4 * 12 and set(resumed["config"].to_pylist()) == {
        "untrained", "oracle-l3-arith", "answer-arith",
    }  # fmt: skip
    for record in Path("out/records").iterdir():
        record.unlink()
    assert main(COMMAND[3:]) == 0  # the students are there: only evaluated
    assert _trainings() == [0, 1, 1] and _outcomes().equals(resumed)
    assert main(COMMAND[3:]) == 0
    assert main(["study", "report", "small.yaml", "--out", "out"]) == 0


def test_only_the_most_accurate_students_are_kept_if_asked(study_file: StudyFile) -> None:
    study_file(seeds=[1, 2])
    plan = _plan()
    correct = {"untrained": 2, "answer-arith": 1}  # of two; the base is not a student
    for planned in plan.cells:
        planned.student.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": str(n), "correct": n < correct.get(planned.cell.config, 0), "flexible_correct": None,
             "no_answer": False, "truncated": False, "output_tokens": 1}
            for n in range(2)
        ]  # fmt: skip
        write_record(plan.record(planned, "cot_arith"), rows, {})
    assert run_study(plan, keep="best") == {}
    kept = {planned.cell.config for planned in plan.cells if planned.student.exists()}
    assert kept == {"answer-arith"}


@pytest.mark.slow
def test_a_cell_that_no_node_can_hold_is_bad_input(study_file: StudyFile, capsys: pytest.CaptureFixture[str]) -> None:
    study_file(**TINY | {"threads": 999})
    assert main(COMMAND[3:]) == 2
    assert "999 CPU cores" in capsys.readouterr().err.splitlines()[-1]
    assert _trainings() == []


@pytest.mark.slow
def test_two_runs_in_one_folder_train_no_student_twice(study_file: StudyFile) -> None:
    study_file(**TINY)
    runs = [subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    assert all(_plan().is_complete(planned) for planned in _plan().cells)
    assert _trainings() == [0, 1, 1]  # the base is not trained


@pytest.mark.slow
def test_a_base_that_cannot_be_written_fails_with_and_without_exemplars(
    study_file: StudyFile, small_project: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(small_project / "runs/demo/untrained", tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    save_file({name: tensor * torch.nan for name, tensor in weights.items()}, base / "model.safetensors")
    recipe = yaml.safe_load((ROOT / "training/recipes/demo.yaml").read_text()) | {"model_name_or_path": str(base)}
    Path("own.yaml").write_text(yaml.safe_dump(recipe))
    study_file(**TINY, students=["./own.yaml"])
    plan = _plan()
    bases = [planned for planned in plan.cells if planned.cell.config == "untrained"]
    failed = run_study(dataclasses.replace(plan, cells=bases))
    assert failed.keys() == {planned.cell.name for planned in bases} and len(bases) == 2
    (log,) = Path("runs/cells").glob("*.log")
    assert log.read_text().count("are NaN") == ATTEMPTS


@pytest.mark.slow
def test_a_cell_that_fails_twice_is_named_with_its_log_and_the_others_are_complete(
    study_file: StudyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file(**TINY, learning_rate=[1e-4, -1.0])
    assert main(COMMAND[3:]) == 1
    error = capsys.readouterr().err
    assert "demo.oracle-l3-arith.learning_rate=-1.0.max_steps=4.seed1" in error and "exit code 2" in error
    complete = [planned.cell for planned in _plan().cells if _plan().is_complete(planned)]
    assert len(complete) == 4 and all(dict(cell.arguments).get("learning_rate") != -1.0 for cell in complete)

"""What a worker of a study does: leases, trainings in their own processes, evaluations."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support import TINY
from tqdm import tqdm

from cot_distill_datasets import messages
from cot_distill_datasets.studies.cells import (
    CellIsTakenError,
    FolderIsNotSharedError,
    _model_args,
    evaluate,
    lease,
    lease_file,
    log_file,
    train,
)
from cot_distill_datasets.studies.plan import Plan, PlannedCell
from cot_distill_datasets.studies.records import write_record
from cot_distill_datasets.studies.study import load_study


StudyFile = Callable[..., Path]
PlanStudy = Callable[..., Plan]


@pytest.fixture
def tiny(plan: PlanStudy) -> Plan:
    """The plan of a study that takes seconds, with the folder of its records."""
    tiny = plan(**TINY)
    tiny.records.mkdir(parents=True)
    return tiny


def test_a_cell_that_a_live_worker_renews_is_not_taken_over(tiny: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cot_distill_datasets.studies.cells.LEASE_SECONDS", 1.0)
    planned = tiny.cells[0]
    with lease(planned), pytest.raises(CellIsTakenError), lease(planned, wait=3.0):
        pass
    with lease(planned):
        pass


def test_a_machine_that_does_not_see_the_folder_of_the_study_is_named_and_trains_nothing(
    tiny: Plan, tmp_path: Path
) -> None:
    planned, elsewhere = tiny.cells[-1], tmp_path / "elsewhere"
    with pytest.raises(FolderIsNotSharedError, match=rf"{socket.gethostname()} .*{elsewhere}"):
        train(elsewhere, tiny.study, [planned], Path("out/records"), 1)
    assert not Path("runs/cells").exists() and not elsewhere.exists()


@pytest.mark.parametrize(("gpus", "visible"), [(0, ""), (1, "3")])
def test_a_cell_without_gpus_sees_none(
    plan: PlanStudy, monkeypatch: pytest.MonkeyPatch, gpus: float, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    study = plan(**TINY, gpus=gpus)
    _complete(study, study.cells)
    train(Path.cwd(), study.study, study.cells[:1], study.records, 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


@pytest.mark.parametrize(("backend", "gpus", "share"), [("vllm", 0.5, 0.45), ("vllm", 1, None), ("hf", 0.5, None)])
def test_vllm_reserves_a_cells_share_of_the_gpu(
    study_file: StudyFile, backend: str, gpus: float, share: float | None
) -> None:
    study = load_study(study_file(backend=backend, gpus=gpus))
    assert _model_args(study) == ({"gpu_memory_utilization": share} if share else {})


def test_cells_that_another_run_has_completed_are_not_trained_although_their_student_was_deleted(tiny: Plan) -> None:
    _complete(tiny, tiny.cells)
    train(Path.cwd(), tiny.study, tiny.cells[-1:], tiny.records, 1)
    assert list(Path("runs/cells").glob("*")) == [] and not tiny.cells[-1].link.exists()


def test_a_base_is_made_ready_if_one_of_its_two_cells_is_complete(tiny: Plan) -> None:
    zero_shot, four_shot = (planned for planned in tiny.cells if planned.cell.config == "untrained")
    _complete(tiny, [zero_shot])
    shutil.copytree("runs/demo/untrained", four_shot.student)
    zero_shot.link.unlink()
    train(Path.cwd(), tiny.study, [zero_shot, four_shot], tiny.records, 1)
    assert zero_shot.link.resolve() == four_shot.student.resolve()


def test_a_base_model_that_is_a_link_is_not_replaced_so_that_keys_do_not_change(
    tiny: Plan, small_project: Path
) -> None:
    base = tiny.cells[0]
    shutil.copytree("runs/demo/untrained", base.student)
    train(Path.cwd(), tiny.study, [base], tiny.records, 1)
    assert base.link.resolve() == small_project / "runs/demo/untrained"


def _complete(plan: Plan, cells: list[PlannedCell]) -> None:
    """Write the records of cells."""
    for planned in cells:
        write_record(plan.record(planned, "cot_arith"), [], {})


@pytest.fixture
def take_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[PlannedCell], None]]:
    """Return a function that takes a cell over as soon as a worker has it, as if it had not renewed its lease."""
    monkeypatch.setattr("cot_distill_datasets.studies.cells.LEASE_SECONDS", 0.6)
    has_ended = threading.Event()

    def take_over(planned: PlannedCell) -> None:
        while not lease_file(planned).exists():
            time.sleep(0.01)
        lease_file(planned).unlink()
        with lease(planned):
            has_ended.wait()

    with ThreadPoolExecutor() as pool:
        yield lambda planned: pool.submit(take_over, planned)
        has_ended.set()


def test_a_worker_that_loses_its_lease_stops_training_and_leaves_the_lease_to_the_other(
    tiny: Plan, take_over: Callable[[PlannedCell], None]
) -> None:
    planned = tiny.cells[-1]
    take_over(planned)
    with pytest.raises(CellIsTakenError):
        train(Path.cwd(), tiny.study, [planned], tiny.records, 1)
    assert lease_file(planned).exists() and log_file(planned).exists() and not planned.student.exists()
    assert not [child for child in psutil.Process().children() if "training/sft.py" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_worker_that_loses_its_lease_writes_no_record(tiny: Plan, take_over: Callable[[PlannedCell], None]) -> None:
    planned = tiny.cells[0]
    shutil.copytree("runs/demo/untrained", planned.student)
    take_over(planned)
    others = evaluate(Path.cwd(), tiny.study, [planned], tiny.records, tiny.exemplars, 1)
    assert others == [planned.cell.name] and list(tiny.records.iterdir()) == []


@pytest.mark.slow
def test_the_log_of_an_evaluation_has_no_bars(
    plan: PlanStudy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tqdm, "__init__", messages._start_bar)  # as in a new process; undone after the test
    study = plan(test_questions=2)
    planned = study.cells[0]
    shutil.copytree("runs/demo/untrained", planned.student)
    study.records.mkdir(parents=True)
    evaluate(Path.cwd(), study.study, [planned], study.records, study.exemplars, 1)
    assert study.is_complete(planned) and "%|" not in capfd.readouterr().err

"""The status of a study: the rows of its cells, and which of them run."""

import os
from collections.abc import Callable

import pytest

from cot_distill_datasets.studies import progress
from cot_distill_datasets.studies.cells import LEASE_SECONDS, lease, lease_file
from cot_distill_datasets.studies.plan import Plan
from cot_distill_datasets.studies.status import plan_page, status


def test_a_dry_run_has_a_row_for_each_value_of_a_further_axis(plan: Callable[..., Plan]) -> None:
    page = plan_page(plan(num_train_epochs=[1, 2], seeds=[1, 2]))
    rows = [line.split("\t") for line in page.splitlines() if line.startswith("demo\t")]
    tokens = {config: int(tokens) for _, config, *_, tokens in rows}
    assert [row[1:4] for row in rows] == [
        ["untrained", "2", "0"],
        *(
            [f"{config}-arith num_train_epochs={epochs}", "2", "0"]
            for config in ("oracle-l3", "answer")
            for epochs in (1, 2)
        ),
    ]
    assert tokens["oracle-l3-arith num_train_epochs=2"] == 2 * tokens["oracle-l3-arith num_train_epochs=1"] > 0


def test_a_number_of_steps_decides_the_tokens_whatever_the_epochs(plan: Callable[..., Plan]) -> None:
    trained, epochs = (
        {made.tokens(planned) for planned in made.cells if planned.cell.config == "oracle-l3-arith"}
        for made in (plan(max_steps=4, num_train_epochs=[1, 9]), plan(num_train_epochs=2))
    )
    assert trained == epochs  # 4 batches of 32 of 64 rows


def test_a_dry_run_names_the_cores_of_a_cell(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert "each cell on 6 CPU cores" in plan_page(plan(threads=None))
    assert "each cell on 5 CPU cores" in plan_page(plan(threads=5))
    assert plan_page(plan(threads=1)).splitlines()[-1].endswith("each cell on 1 CPU core")


def test_a_cell_runs_as_long_as_its_worker_renews_the_lease(plan: Callable[..., Plan]) -> None:
    planned = plan().cells[0]
    with lease(planned):
        assert status(plan(), planned) == "running"
        then = lease_file(planned).stat().st_mtime - LEASE_SECONDS
        os.utime(lease_file(planned), (then, then))
        assert status(plan(), planned) == "waiting"
    assert status(plan(), planned) == "waiting"


def test_the_time_left_counts_the_trainings_that_are_left(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cells with a trained student are evaluated first, and in seconds."""
    made = plan()
    *_, cot, answer = made.cells
    monkeypatch.setattr(progress, "training_seconds", lambda plan, cells: [0.0, 0.0, 970.0, 0.0])
    clock = iter([0.0, 30.0, 1030.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = progress.Progress(made, list(made.cells))
    shown.complete(answer)
    assert capsys.readouterr().err.splitlines()[-1].endswith("About 18 min left.")  # 1,060 s
    shown.complete(cot)
    assert capsys.readouterr().err.splitlines()[-1].endswith("About 1 min left.")  # 60 s

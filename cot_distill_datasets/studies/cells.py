"""Train and evaluate cells: what a worker of a study does, in a shared folder, under a lease.

A lease says which worker has a cell. A worker that dies no longer renews it, so another one takes over, and training
resumes from the last checkpoint. A training is a process of its own, which the kernel kills with its worker.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

from filelock import SoftFileLease, Timeout

from ..errors import CotDistillError
from ..files import atomic_file, resource
from ..messages import quiet_libraries
from ..provenance import readable_provenance
from ..training.checkpoints import remove_unusable
from .plan import PlannedCell
from .study import UNTRAINED, Study


LEASE_SECONDS = 20.0  # after which a dead worker's cell is taken over
FREE_SECONDS = 1.0  # in which the lease of a worker that died on this machine is taken over
LOG_LINES = 5  # shown of the log of a failed training


class CellIsTakenError(Exception):
    """Another worker, possibly of another run, has the cell."""


class FolderIsNotSharedError(CotDistillError):
    """A machine of a cluster does not see the folder of the study."""


def _enter(root: Path, study: Study, records: Path) -> None:
    """Work in the folder `root`, as the driver does, and on the CPU only if the cells of the study have no GPUs.

    Raises FolderIsNotSharedError if `root` has no folder `records`.
    """
    if not (root / records).is_dir():
        raise FolderIsNotSharedError(
            f"The machine {socket.gethostname()} does not see {root / records}: every machine of a cluster needs the "
            "same folder at the same path."
        )
    os.chdir(root)
    if not study.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray would hide no GPU


@contextmanager
def lease(planned: PlannedCell, wait: float = 1.5 * LEASE_SECONDS) -> Iterator[SoftFileLease]:
    """Hold the lease of a cell. Its `compromise` is set if it is lost: another worker may have the cell then.

    Raises CellIsTakenError if another worker still has the lease after `wait` seconds.
    """
    planned.student.parent.mkdir(parents=True, exist_ok=True)
    claim = SoftFileLease(lease_file(planned), lease_duration=LEASE_SECONDS)
    try:
        claim.acquire(timeout=wait)
    except Timeout as error:
        raise CellIsTakenError(planned.cell.name) from error
    try:
        yield claim
    finally:
        claim.release()


def lease_file(planned: PlannedCell) -> Path:
    """Return the file that exists while a worker has the cell. `.KEY.lock` is the lock of `atomic_dir`."""
    return planned.student.with_name(f".{planned.key}.lease")


def log_file(planned: PlannedCell) -> Path:
    """Return the log of a cell's training."""
    return planned.student.with_name(f"{planned.key}.log")


def is_trained(planned: PlannedCell) -> bool:
    """Whether the student of a cell is complete."""
    if planned.cell.config == UNTRAINED:
        return (planned.student / "config.json").is_file()
    return readable_provenance(planned.student) is not None


def train(root: Path, study: Study, cells: Sequence[PlannedCell], records: Path, threads: int) -> None:
    """Train the student of cells, unless it is complete, and link it from where a training would have written it.

    Raises CellIsTakenError if another worker has the cells, FolderIsNotSharedError if this machine does not see the
    folder `records`, and CotDistillError with the last lines of the log if the training fails.
    """
    _enter(root, study, records)
    with lease(cells[0]) as claim:
        if not any(planned.missing_tasks(records) for planned in cells):
            return  # another run has completed the cells, and may have deleted their student
        if not is_trained(cells[0]):
            _run_training(cells[0], claim, threads)
        _link(cells[0])


def _run_training(planned: PlannedCell, claim: SoftFileLease, threads: int) -> None:
    """Train in a process of its own, which is killed if the lease is lost."""
    command = [sys.executable, str(resource("training/sft.py")), *planned.arguments, "--num_threads", str(threads)]
    with log_file(planned).open("a", encoding="utf-8") as log:
        with redirect_stderr(log):
            remove_unusable(planned.student)  # if no checkpoint is intact, `sft.py` would ask what to do
        with subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)}, preexec_fn=_die_with_parent,
        ) as process:  # fmt: skip
            try:
                while process.poll() is None and claim.compromise is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=1)
            finally:
                process.kill()  # does nothing if it has ended
    if claim.compromise:
        raise CellIsTakenError(planned.cell.name)
    if process.returncode:
        last = _last_lines(log_file(planned))
        raise CotDistillError(f"training ended with exit code {process.returncode}: {last}")


def _link(planned: PlannedCell) -> None:
    """Link `runs/{student}/{config}/seed{seed}` to the student, unless that place has something other than a cell.

    It may be a student of a plain training, or the base model itself, whose files decide the keys.
    """
    if not planned.link.exists() or planned.link.resolve().parent == planned.student.parent.resolve():
        planned.link.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(planned.link) as staged:
            staged.symlink_to(os.path.relpath(planned.student, planned.link.parent))


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies (prctl, PR_SET_PDEATHSIG), so that no orphan trains on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return " / ".join([line.strip() for line in lines if line.strip()][-LOG_LINES:])


def evaluate(
    root: Path,
    study: Study,
    cells: Sequence[PlannedCell],
    records: Path,
    exemplars: dict[str, list[dict[str, Any]]],
    threads: int,
) -> list[str]:
    """Evaluate trained cells of one group and write their records; return the names of cells that others have."""
    import torch

    quiet_libraries()
    _enter(root, study, records)
    torch.set_num_threads(threads)
    with ExitStack() as leases:
        claims = _acquire_free(leases, cells)
        by_prompts: dict[Any, list[PlannedCell]] = {}  # cells with the same exemplars and missing tasks
        for planned in cells:
            if planned.key in claims and (tasks := tuple(planned.missing_tasks(records))):
                by_prompts.setdefault((tasks, planned.cell.benchmark, planned.cell.shots), []).append(planned)
        for (tasks, benchmark, shots), members in by_prompts.items():
            _evaluate_together(study, members, records, tasks, exemplars[benchmark][:shots], claims)
    return [planned.cell.name for planned in cells if not _has(claims, planned)]


def _acquire_free(leases: ExitStack, cells: Sequence[PlannedCell]) -> dict[str, SoftFileLease]:
    """Acquire the leases of the cells that no other worker has, or wait for one; return them by the cells' keys."""
    claims: dict[str, SoftFileLease] = {}
    for key, planned in {planned.key: planned for planned in cells}.items():
        with suppress(CellIsTakenError):
            claims[key] = leases.enter_context(lease(planned, FREE_SECONDS))
    if not claims:
        with suppress(CellIsTakenError):
            claims[cells[0].key] = leases.enter_context(lease(cells[0]))
    return claims


def _has(claims: Mapping[str, SoftFileLease], planned: PlannedCell) -> bool:
    """Whether this worker has a cell, and has not lost it."""
    return planned.key in claims and claims[planned.key].compromise is None


def _evaluate_together(
    study: Study,
    cells: list[PlannedCell],
    records: Path,
    tasks: Sequence[str],
    exemplars: list[dict[str, Any]],
    claims: Mapping[str, SoftFileLease],
) -> None:
    """Evaluate cells on the same prompts in one call, and write the records of each as soon as it is evaluated."""
    from ..evaluation.results import Student
    from ..evaluation.run import EvaluationConfig, evaluate_students, read_answers
    from ..evaluation.samples import outcomes
    from ..reports.model_card import update_model_cards
    from .records import write_record

    config = EvaluationConfig(
        backend=study.backend, release=Path(study.dataset), test_questions=study.test_questions, exemplars=exemplars,
        model_args=_model_args(study),
    )  # fmt: skip
    students = [Student.open(folder) for folder in dict.fromkeys(planned.student for planned in cells)]
    for student, scores in evaluate_students(students, tasks, config):
        first = {score.task: {"prompt": score.prompt, "answer": score.answer} for score in scores}
        for task in tasks:
            result, samples = read_answers(student, task, config)
            for planned in cells:
                if planned.student == student.folder and _has(claims, planned):
                    facts = _facts(planned, student, task, result) | {"first": first[task]}
                    write_record(records / planned.records[task], outcomes(samples), facts)
        if student.provenance:
            update_model_cards(student)


def _model_args(study: Study) -> dict[str, Any]:
    """Return the memory that vLLM may reserve: the cell's share of 0.9, which is its default for a whole GPU."""
    if study.backend == "vllm" and 0 < study.gpus < 1:
        return {"gpu_memory_utilization": round(0.9 * study.gpus, 3)}
    return {}


def _facts(planned: PlannedCell, student: Any, task: str, result: dict[str, Any]) -> dict[str, Any]:
    from ..training.progress import read_losses

    provenance = student.provenance
    return {
        "key": planned.key,
        "task": task,
        "task_version": result["versions"][task],
        "evaluation": result["cot_distill"],
        "provenance": dataclasses.asdict(provenance) if provenance else None,
        "losses": read_losses(student.folder),
    }


def delete_student(planned: PlannedCell) -> None:
    """Delete the weights and the log of a complete cell."""
    shutil.rmtree(planned.student, ignore_errors=True)
    if planned.link.is_symlink() and not planned.link.exists():
        planned.link.unlink()
    log_file(planned).unlink(missing_ok=True)

"""`cot-distill study run`: train and evaluate the cells that are missing, on the cores and GPUs that Ray finds.

Ray only places tasks. What is complete is in the records, so a study can be killed, extended, and run by several
processes at once. `RAY_ADDRESS` points the same command at a cluster with a shared folder.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pyarrow.compute import field

from ..errors import CotDistillError
from . import cells as worker
from .plan import Plan, PlannedCell
from .progress import Progress
from .questions import write_questions
from .records import outcomes, write_outcomes
from .study import UNTRAINED, Study


Keep = Literal["none", "best", "all"]

EVALUATED_AT_ONCE = 8  # students of one evaluation task: many share a start of vLLM, few lose little to a kill
ATTEMPTS = 2  # of a failing cell
RAY_STARTS = 3  # attempts
ANSWER_SECONDS = 10.0  # in which a cluster must answer
RECHECK_SECONDS = 5  # between checks of a cell that another run has


def run_study(plan: Plan, *, keep: Keep = "all") -> dict[str, str]:
    """Run the missing cells of a study, and return the reason for each cell that failed.

    Raises CotDistillError if the study's `backend` is not installed, if Ray cannot be started, or if a machine
    of its cluster does not see the study's folder.
    """
    pending = [planned for planned in plan.cells if not plan.is_complete(planned)]
    if pending:
        _check_backend(plan.study)
    plan.records.mkdir(parents=True, exist_ok=True)
    write_questions(plan.folder, plan.questions)
    progress = Progress(plan, pending)
    if pending:
        ray = _start_ray()
        with progress.shown(), redirect_stdout(StringIO()):  # Ray prints many lines about every dead worker
            try:
                _Scheduler(ray, plan, pending, progress, keep).run()
            finally:
                ray.shutdown()  # which waits for the thread that prints them
    if any(plan.is_complete(planned) for planned in plan.cells):
        write_outcomes(plan)
        if keep == "best":
            _delete_all_but_best(plan)
    return progress.failed


def _check_backend(study: Study) -> None:
    """Raise CotDistillError if a study asks for vLLM where it is not installed."""
    if study.backend == "vllm" and find_spec("vllm") is None:
        raise CotDistillError(
            "The study file has `backend: vllm`, which is not installed: run `pip install vllm` on a GPU, or use `hf`."
        )


def _delete_all_but_best(plan: Plan) -> None:
    """Delete the complete students of every config but each base model's most accurate one on each benchmark.

    The untrained base is deleted too: it is written again in a moment.
    """
    arm = ["student", "benchmark", "config"]
    answers = outcomes(plan).filter(field("config") != UNTRAINED)
    scores = answers.group_by(arm).aggregate([("correct", "mean")]).sort_by("correct_mean").to_pylist()
    best = {(row["student"], row["benchmark"]): row["config"] for row in scores}  # the last one is the most accurate
    for planned in filter(plan.is_complete, plan.cells):
        if best.get((planned.cell.label, planned.cell.benchmark)) != planned.cell.config:
            worker.delete_student(planned)


def _start_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if address := os.environ.get("RAY_ADDRESS"):
        _check_answers(address)
    # `local`: otherwise Ray connects to a cluster that was started on this machine, whose cores are not ours.
    here: Any = {"address": "local", "num_cpus": os.cpu_count(), "include_dashboard": False}
    for _ in range(1 if address else RAY_STARTS):
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if address else here))
            return ray
        except Exception as error:  # Ray raises a bare one after 30 s, which a busy machine may take
            reason = error
            ray.shutdown()
    raise CotDistillError(f"Ray cannot be started: {' '.join(str(reason).split())}") from reason


def _check_answers(address: str) -> None:
    """Raise CotDistillError if nothing answers at HOST:PORT: Ray would try for many minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():  # `auto` is a cluster on this machine
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise CotDistillError(
                f"There is no Ray cluster at {address} ({error}): set RAY_ADDRESS to what `ray start --head` prints, "
                "or unset it."
            ) from error


class _Scheduler:
    """Submits as many tasks as run at once: evaluations as soon as a group of students is trained, then trainings."""

    def __init__(self, ray: Any, plan: Plan, pending: list[PlannedCell], progress: Progress, keep: Keep) -> None:
        self.ray, self.plan, self.progress, self.keep = ray, plan, progress, keep
        study = plan.study
        self.threads = study.cell_threads
        resources = {"num_cpus": self.threads, "num_gpus": study.gpus, "max_retries": 0}
        self.train = ray.remote(**resources)(worker.train)
        # vLLM frees its memory only when its process ends. Others keep theirs, with the libraries it has imported.
        calls = {"max_calls": 1} if study.backend == "vllm" else {}
        self.evaluate = ray.remote(**resources, **calls)(worker.evaluate)
        self.tasks: dict[Any, list[PlannedCell]] = {}  # of Ray
        self.trainings: set[Any] = set()
        self.to_evaluate: list[list[PlannedCell]] = []  # the cells of each trained student
        self.to_train: list[list[PlannedCell]] = []  # the cells of each student that is not trained
        self.attempts: Counter[str] = Counter()  # by key
        self.same_student = _by_key(pending)
        self._submit(training_order(plan, pending))

    def run(self) -> None:
        """Run until every cell is complete or has failed. Raises CotDistillError if no node can hold a cell."""
        while self.tasks or self.to_evaluate or self.to_train:
            places = self._places()
            self._submit_evaluations(places)
            self._submit_trainings(places)
            (done, *_), _ = self.ray.wait(list(self.tasks), num_returns=1)
            cells, is_training = self.tasks.pop(done), done in self.trainings
            self.trainings.discard(done)
            try:
                names = self.ray.get(done)  # of the cells that other runs have
            except self.ray.exceptions.RayTaskError as error:
                self._retry(cells, error.cause)
            except self.ray.exceptions.RayError as error:  # the worker or its node died
                self._retry(cells, error)
            else:
                if is_training:
                    self.to_evaluate.append(cells)
                else:
                    self._finish([planned for planned in cells if planned.cell.name not in names])
                    self._wait_for([planned for planned in cells if planned.cell.name in names])

    def _submit(self, cells: list[PlannedCell]) -> None:
        """Let the students of cells be trained, each once, or evaluated if they are trained."""
        for members in _by_key(cells).values():
            (self.to_evaluate if worker.is_trained(members[0]) else self.to_train).append(members)

    def _places(self) -> int:
        """Return how many cells the cluster can hold at once."""
        gpus, nodes = self.plan.study.gpus, [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        places = sum(_cells_at_once(node, self.threads, gpus) for node in nodes)
        if not places:
            raise CotDistillError(
                f"No node has the {self.threads} CPU cores and {gpus:g} GPUs that each cell needs: change `threads` "
                "or `gpus` in the study file."
            )
        return places

    def _submit_trainings(self, places: int) -> None:
        """Fill the cluster. More trainings would delay the evaluations, which Ray queues behind them."""
        while self.to_train and len(self.tasks) < places:
            members = self.to_train.pop(0)
            reference = self.train.remote(Path.cwd(), self.plan.study, members, self.plan.records, self.threads)
            self.trainings.add(reference)
            self.tasks[reference] = members

    def _submit_evaluations(self, places: int) -> None:
        """Evaluate groups of trained students that are large enough for a task, or whose last training has ended."""
        training = [*self.to_train, *(self.tasks[reference] for reference in self.trainings)]
        size = students_per_task(len(self.to_evaluate) + len(training), places)
        for group in dict.fromkeys(members[0].group for members in self.to_evaluate):
            students = [members for members in self.to_evaluate if members[0].group == group]
            if len(students) < size and any(members[0].group == group for members in training):
                continue
            self.to_evaluate = [members for members in self.to_evaluate if members[0].group != group]
            alone = [[members] for members in students if self.attempts[members[0].key]]  # one broke its group
            rest = [members for members in students if not self.attempts[members[0].key]]
            for part in alone + [rest[n : n + size] for n in range(0, len(rest), size)]:
                cells = list(chain.from_iterable(part))
                reference = self.evaluate.remote(
                    Path.cwd(), self.plan.study, cells, self.plan.records, self.plan.exemplars, self.threads
                )
                self.tasks[reference] = cells

    def _retry(self, cells: list[PlannedCell], error: Any) -> None:
        if isinstance(error, worker.CellIsTakenError):
            self._wait_for(cells)
            return
        if isinstance(error, worker.FolderIsNotSharedError):  # this machine would break every cell
            raise error
        self._finish([planned for planned in cells if self.plan.is_complete(planned)])
        for key, members in _by_key([planned for planned in cells if not self.plan.is_complete(planned)]).items():
            self.attempts[key] += 1
            if self.attempts[key] < ATTEMPTS:
                self._submit(members)
                continue
            for planned in members:
                self.progress.fail(planned, _reason(error))

    def _wait_for(self, cells: list[PlannedCell]) -> None:
        """Look again at cells that another run has: they may be complete, or its worker may have died."""
        self._finish([planned for planned in cells if self.plan.is_complete(planned)])
        if waiting := [planned for planned in cells if not self.plan.is_complete(planned)]:
            time.sleep(RECHECK_SECONDS)
            self._submit(waiting)

    def _finish(self, cells: list[PlannedCell]) -> None:
        for planned in cells:
            self.progress.complete(planned)
            if self.keep == "none" and all(map(self.plan.is_complete, self.same_student[planned.key])):
                worker.delete_student(planned)


def _reason(error: Exception) -> str:
    """Return an error in one line: its type, unless it is ours, and the first line of its message."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, CotDistillError) else f"{type(error).__name__}: {text}"


def training_order(plan: Plan, cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Return the longest training first, because the last one may run alone.

    The untrained base precedes all: it takes no training, but the longest evaluation, for its answers rarely end.
    """
    return sorted(cells, key=lambda planned: (planned.cell.config != UNTRAINED, -plan.tokens(planned)))


def students_per_task(students: int, places: int) -> int:
    """Return how many of the students that are still to be evaluated one task gets.

    All places get as many tasks, so that none evaluates alone at the end.
    """
    tasks = places * math.ceil(students / (places * EVALUATED_AT_ONCE))
    return math.ceil(students / max(tasks, 1))


def _cells_at_once(node: Mapping[str, float], cores: int, gpus: float) -> int:
    """Return how many cells a node can hold at once."""
    places = node.get("CPU", 0) // cores
    return int(min(places, node.get("GPU", 0) / gpus)) if gpus else int(places)


def _by_key(cells: list[PlannedCell]) -> dict[str, list[PlannedCell]]:
    """Return cells by their student."""
    students: dict[str, list[PlannedCell]] = {}
    for planned in cells:
        students.setdefault(planned.key, []).append(planned)
    return students

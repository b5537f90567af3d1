"""Which cells of a study are complete, running or waiting, and what the waiting ones need."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from .cells import LEASE_SECONDS, is_trained, lease_file
from .plan import SEPARATED_SHARE, Plan, PlannedCell
from .records import read_record
from .study import UNTRAINED, axis_texts


STATES = ("complete", "trained", "running", "waiting", "failed")
# For students without a complete cell: floating-point operations per second that a training is assumed to reach on an
# H100 (40 % of its bf16 peak) and on a CPU core, per parameter and token (Kaplan et al. 2020, arXiv 2001.08361), and
# tokens of a row per supervised one.
_GPU_SPEED, _CORE_SPEED, _OPERATIONS, _TOKENS_PER_SUPERVISED = 4e14, 5e10, 6, 3
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([mb])(?![a-z])")  # `smollm2-135m`, `llama-3.2-1b`; `bloom-1b1` counts as 1b
_DEMO_PARAMETERS = 1e6


def status(plan: Plan, planned: PlannedCell) -> str:
    """Return the state of a cell, read from its files."""
    if plan.is_complete(planned):
        return "complete"
    if _is_leased(planned):
        return "running"
    return "trained" if is_trained(planned) else "waiting"


def _is_leased(planned: PlannedCell) -> bool:
    """Whether a worker has the cell: a dead one no longer renews its lease."""
    try:
        return time.time() - lease_file(planned).stat().st_mtime < LEASE_SECONDS
    except FileNotFoundError:
        return False


def _rows(plan: Plan) -> dict[tuple[str, str], list[PlannedCell]]:
    """Return the cells by student, and by config with the further axes."""
    rows: dict[tuple[str, str], list[PlannedCell]] = {}
    for planned in plan.cells:
        cell = planned.cell
        rows.setdefault((cell.label, " ".join([cell.config, *axis_texts(cell.axes)])), []).append(planned)
    return rows


def status_table(plan: Plan, failed: Mapping[str, str] | None = None) -> Table:
    """Return a table of the cells by student, config and further axes."""
    table = Table("student", "config", *STATES, title=f"Study {plan.study.name}")
    for (student, config), cells in _rows(plan).items():
        states = Counter("failed" if p.cell.name in (failed or {}) else status(plan, p) for p in cells)
        table.add_row(student, config, *(str(states[state] or "") for state in STATES))
    return table


def print_status(plan: Plan) -> None:
    """Print the table of the cells."""
    Console().print(status_table(plan))


def plan_page(plan: Plan) -> str:
    """Return the cells of a study by student, config and further axes, what is missing, and the hours it takes."""
    lines = ["student\tconfig\tcells\tcomplete\twords\tsupervised tokens"]
    for (student, config), cells in _rows(plan).items():
        complete = sum(map(plan.is_complete, cells))
        lines.append(f"{student}\t{config}\t{len(cells)}\t{complete}\t{cells[0].words}\t{plan.tokens(cells[0])}")
    for (coarse, fine), (share, ratio) in plan.separation.items():
        verdict = "" if share >= SEPARATED_SHARE else ": not separated"
        lines.append(f"{fine} is longer than {coarse} in {share:.0%} of the questions, {ratio:.1f} times{verdict}")
    for benchmark, ids in plan.questions.items():
        lines.append(f"{benchmark}: every config trains on the same {len(ids)} questions")
    lines += notes(plan)
    pending = [planned for planned in plan.cells if not plan.is_complete(planned)]
    hours = sum(training_seconds(plan, pending)) / 3600
    device = f"{plan.study.gpus:g} GPU" if plan.study.gpus else f"{plan.study.cell_threads} CPU cores"
    lines.append(f"{len(pending)} cells are missing: about {hours:.1f} hours of training, each cell on {device}")
    return "\n".join(lines)


def notes(plan: Plan) -> list[str]:
    """Return a line for each warning, and for each cell that cannot be run."""
    missing = [f"missing: {name}: {reason}" for name, reason in plan.missing.items()]
    return [f"warning: {warning}" for warning in plan.warnings] + missing


def training_seconds(plan: Plan, cells: Sequence[PlannedCell]) -> list[float]:
    """Return the seconds that the training of each cell is expected to take: 0 if its student is trained."""
    speeds = {student: _seconds_per_token(plan, student) for student in {planned.cell.student for planned in cells}}
    return [0.0 if is_trained(planned) else plan.tokens(planned) * speeds[planned.cell.student] for planned in cells]


def _seconds_per_token(plan: Plan, student: str) -> float:
    """Return the seconds of training per supervised token: measured by complete cells, or estimated from the size."""
    seconds, tokens = 0.0, 0
    for planned in plan.cells:
        if planned.cell.student == student and planned.cell.config != UNTRAINED and plan.is_complete(planned):
            _, facts = read_record(plan.record(planned, next(iter(planned.records))))
            seconds, tokens = seconds + facts["provenance"]["train_seconds"], tokens + plan.tokens(planned)
    if tokens:
        return seconds / tokens
    size = _SIZE.search(student)
    parameters = float(size[1]) * {"m": 1e6, "b": 1e9}[size[2]] if size else _DEMO_PARAMETERS
    speed = _GPU_SPEED * plan.study.gpus or _CORE_SPEED * plan.study.cell_threads
    return _OPERATIONS * parameters * _TOKENS_PER_SUPERVISED / speed

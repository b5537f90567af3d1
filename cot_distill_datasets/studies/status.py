"""Which cells of a study are complete, running or waiting, and what the waiting ones need."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from ..messages import count
from ..release.levels import separation_lines
from .cells import LEASE_SECONDS, is_trained, lease_file
from .estimates import training_seconds, unplanned_seconds
from .plan import Plan, PlannedCell
from .study import axis_texts


STATES = ("complete", "trained", "running", "waiting", "failed")


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
    lines += separation_lines(plan.separation)
    for benchmark, ids in plan.questions.items():
        lines.append(f"{benchmark}: every config trains on the same {len(ids)} questions")
    lines += notes(plan)
    pending = [planned for planned in plan.cells if not plan.is_complete(planned)]
    hours = sum(training_seconds(plan, pending)) / 3600
    threads = plan.study.cell_threads
    device = f"{plan.study.gpus:g} GPU" if plan.study.gpus else count(threads, "CPU core")
    lines.append(f"Missing: {count(len(pending), 'cell')}, about {hours:.1f} hours of training, each cell on {device}")
    if plan.missing:
        hours = unplanned_seconds(plan) / 3600
        more = count(len(plan.missing), "more cell")
        lines.append(f"{more} cannot be run yet: about {hours:.1f} hours (a rough estimate)")
    return "\n".join(lines)


def notes(plan: Plan) -> list[str]:
    """Return a line for each warning, and for each reason why cells cannot be run."""
    missing = [f"missing: {line}" for line in by_reason(plan.missing)]
    return [f"warning: {warning}" for warning in plan.warnings] + missing


def by_reason(cells: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with the first of its cells and the number of the others."""
    names: dict[str, list[str]] = {}
    for name, reason in cells.items():
        names.setdefault(reason, []).append(name)
    return [
        f"{first} and {len(others)} more: {reason}" if others else f"{first}: {reason}"
        for reason, (first, *others) in names.items()
    ]

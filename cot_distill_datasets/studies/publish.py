"""`cot-distill study publish`: the students of a study as Hub model repos, and a collection that lists them.

    cot-distill study publish arith --namespace USER --dry-run

The collection also has the dataset.
"""

from collections.abc import Iterable
from pathlib import Path

from ..errors import CotDistillError
from ..hub import Collection, publish_collection
from ..names import RELEASE_NAME
from ..reports.publish_student import student_repos
from .cells import is_trained
from .plan import Plan
from .study import UNTRAINED


def study_repos(plan: Plan, namespace: str) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the repo of each student of a study, repo id → folder, and why other cells cannot be published.

    Raises CotDistillError if no student is here, or two of them would have the same repo.
    """
    trained = [planned for planned in plan.cells if planned.cell.config != UNTRAINED]
    here = {planned.student: planned.cell.arguments for planned in trained if is_trained(planned)}
    if not here:
        raise CotDistillError(f"No student of the study {plan.study.name} is here: run `cot-distill study run` first.")
    absent = {p.cell.name: f"there is no student in {p.student}" for p in trained if p.student not in here}
    return student_repos(namespace, here), plan.missing | absent


def publish_study_collection(plan: Plan, namespace: str, repo_ids: Iterable[str], *, dry_run: bool) -> Collection:
    """Make the study's collection hold the repos and the dataset. Raises CotDistillError if the Hub rejects it."""
    items = dict.fromkeys(repo_ids, "model") | {RELEASE_NAME: "dataset"}
    return publish_collection(namespace, f"cot-distill study {plan.study.name}", items, dry_run=dry_run)

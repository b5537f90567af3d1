"""`cot-distill publish-student`: a trained student becomes one commit and a tag of a Hub model repo.

    cot-distill publish-student runs/demo/oracle-l3-arith/seed100 --repo-id USER/NAME --dry-run

The first publication has the tag `v1`, the next one with other files `v2`. Only the files that make up a student are
published: no checkpoint, log or result. The card is written for its readers: its commands name the repo.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import CotDistillError
from ..evaluation.results import Student, hashed_files
from ..evaluation.samples import samples_file
from ..evaluation.scores import Score
from ..files import locked
from ..hub import Publication, Target, check_repo_id, publish_folder
from ..provenance import PROVENANCE, Provenance, read_provenance
from .figures import LOSS_CURVE
from .model_card import card_scores, model_name, write_model_card


Arguments = Sequence[tuple[str, Any]]  # of a training, by name

SAMPLES = "samples"  # the folder of the questions, golds and answers, if they are published
# An absolute path: at least two names, not a part of a relative path or of an address other than `file://`.
_PATH = re.compile(r"(?<![\w.:<])(?<!:/)(?:/[\w.~+@-]+){2,}")
_MAY_HAVE_PATHS = {".json", ".md", ".txt", ".yaml"}


def student_repos(namespace: str, students: Mapping[Path, Arguments]) -> dict[str, Path]:
    """Return the repo of each student, repo id → folder: its base model, mixture, further arguments, and seed.

    Raises CotDistillError if a folder has no complete student, or two students would have the same repo.
    """
    repos: dict[str, Path] = {}
    for student, arguments in students.items():
        provenance = _require_provenance(student)
        parts = [*(f"{name}-{value}" for name, value in arguments), f"seed{provenance.arguments['seed']}"]
        name = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join([model_name(provenance), *parts]))
        repo_id = f"{namespace}/{name}"
        if repo_id in repos:
            raise CotDistillError(
                f"{repos[repo_id]} and {student} would both be {repo_id}: publish them one by one, with --repo-id."
            )
        repos[repo_id] = student
    return repos


def publish_students(
    repos: Mapping[str, Path], *, with_samples: bool = False, dry_run: bool = False
) -> Iterator[Publication]:
    """Make each Hub model repo hold its student, repo id → folder, and yield what was done as soon as it is done.

    Raises CotDistillError, with no request sent, if a folder has no complete student, its results do not belong to it
    (`read_scores`), or a file names a path of this machine. Raises CotDistillError if the Hub rejects a request: the
    repos that were yielded are complete, and a repeat continues.
    """
    with ExitStack() as stack:
        staged = {}
        for repo_id, student in repos.items():
            check_repo_id(repo_id)
            _require_provenance(student)  # before `locked` creates a file beside a folder that has no student
            stack.enter_context(locked(student.resolve()))  # a study links its students
            staged[repo_id] = Path(stack.enter_context(TemporaryDirectory()))
            _stage(staged[repo_id], student.resolve(), repo_id, with_samples=with_samples)
        for repo_id, folder in staged.items():
            yield publish_folder(folder, Target(repo_id, "model", "main", PROVENANCE), dry_run=dry_run)


def _require_provenance(student: Path) -> Provenance:
    provenance = read_provenance(student)
    if provenance is None:
        raise CotDistillError(
            f"There is no trained student in {student}: pass a folder with {PROVENANCE}, the last file of a training."
        )
    return provenance


def _stage(folder: Path, source: Path, repo_id: str, *, with_samples: bool) -> None:
    """Fill an empty folder with the files to publish: links to the student's own, and the card."""
    student = Student.open(source)
    scores = card_scores(student)
    for path in (*hashed_files(source), source / LOSS_CURVE, source / PROVENANCE):
        if path.is_file():
            (folder / path.name).symlink_to(path)
    write_model_card(_require_provenance(source), folder, scores, repo_id)
    for score in scores if with_samples else ():
        (folder / SAMPLES).mkdir(exist_ok=True)
        (folder / SAMPLES / f"{score.task}.jsonl").symlink_to(_samples_of(student, score))
    vocabularies = student.tokenizer.vocab_files_names.values()  # of the base model, so of no machine
    for path in sorted(folder.rglob("*")):
        is_checked = path.suffix in _MAY_HAVE_PATHS and path.name not in vocabularies
        if is_checked and (match := _PATH.search(path.read_text(encoding="utf-8", errors="replace"))):
            raise CotDistillError(
                f"{path.name} of {source} would publish the path {match.group()}: use relative paths, and train or "
                "evaluate the student again."
            )


def _samples_of(student: Student, score: Score) -> Path:
    path, task = next(key for key, other in student.scores.items() if other is score)
    return samples_file(path, task)

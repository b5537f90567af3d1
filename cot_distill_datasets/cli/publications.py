"""What the commands that publish have in common: their options, and how they show what was done."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CotDistillError
from ..messages import message
from .parser import Parser


if TYPE_CHECKING:
    from ..hub import Publication


def add_dry_run(command: Parser) -> None:
    """Add the option that lists what would be published."""
    command.add_argument("--dry-run", action="store_true", help="list the steps without carrying them out")


def add_samples(command: Parser) -> None:
    """Add the option that publishes what is private by default."""
    command.add_argument(
        "--with-samples", action="store_true", help="also publish the test questions, with golds and answers"
    )


def user(text: str) -> str:
    """Return the name of a user or organization of the Hub."""
    if not text or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a user or organization")
    return text


def show_publication(publication: Publication, *, dry_run: bool, prefix: str = "") -> int:
    """Print the commit, or the steps of a plan, each line behind `prefix`; return the exit code."""
    target = publication.target
    name = f"{target.repo_id} at `{target.revision}`, {target.tag}"
    show_steps(name, publication.steps, publication.commit, dry_run=dry_run, prefix=prefix)
    if publication.unfinished:
        message(f"not done: {publication.unfinished}")
    return 1 if publication.unfinished else 0


def show_steps(name: str, steps: list[tuple[str, str]], outcome: str, *, dry_run: bool, prefix: str) -> None:
    """Print the outcome of steps, or the steps of a plan, each line behind `prefix`, and count them."""
    for line in [f"{verb}\t{step}" for verb, step in steps] if dry_run else [outcome]:
        print(f"{prefix}{line}")
    counts = ", ".join(f"{verb} {n}" for verb, n in Counter(verb for verb, _ in steps).items())
    message(f"{name}: {counts or 'nothing to do'}{' (not carried out: --dry-run)' if dry_run else ''}.")


def publish_repos(repos: Mapping[str, Path], options: argparse.Namespace) -> int:
    """Publish students, repo id → folder, and show each; return the exit code.

    Raises CotDistillError if the first one is rejected.
    """
    from ..reports.publish_student import publish_students

    codes: list[int] = []
    try:
        for publication in publish_students(repos, with_samples=options.with_samples, dry_run=options.dry_run):
            prefix = f"{publication.target.repo_id}\t"
            codes.append(show_publication(publication, dry_run=options.dry_run, prefix=prefix))
    except CotDistillError as error:
        if not codes:
            raise
        message(f"not done: {error}")
        return 1
    return max(codes)

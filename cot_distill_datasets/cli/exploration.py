"""The command that shows a release and its students."""

import argparse
from typing import Any

from ..names import RELEASE_NAME
from .parser import add_command, usable_path


def add_exploration_commands(commands: Any) -> None:
    """Add `explore`."""
    explore = add_command(commands, _explore)
    explore.add_argument(
        "--release", type=usable_path, metavar="DIR", help=f"release folder; default: {RELEASE_NAME}, else the Hub"
    )
    explore.add_argument(
        "--students", type=usable_path, nargs="+", default=[], metavar="DIR",
        help="folders with results of `cot-distill evaluate`",
    )  # fmt: skip
    explore.add_argument(
        "--studies", type=usable_path, nargs="+", default=[], metavar="DIR",
        help="folders of `cot-distill study report`",
    )  # fmt: skip


def _explore(options: argparse.Namespace) -> int:
    """Browse the CoT of every question, the lengths of the levels, and what students answered.

    cot-distill explore --students runs/demo --studies docs/results/arith
    """
    from ..explorer.app import explore

    explore(options.release, options.students, options.studies)
    return 0

"""The commands of a study: which supervision suits a student, measured."""

import argparse
from typing import Any

from ..errors import CotDistillError
from ..messages import message
from .parser import Parser, add_command, usable_path
from .publications import add_dry_run, add_samples, publish_repos, show_steps, user


def add_study_commands(commands: Any) -> None:
    """Add `demo`, `study run`, `study status`, `study report` and `study publish`."""
    add_command(commands, _demo)
    description = "Compare kinds of supervision: train and evaluate every cell of a study file."
    example = "Example: cot-distill study run arith --dry-run"
    study = commands.add_parser("study", help=description, description=description, epilog=example)
    actions = study.add_subparsers(required=True, metavar="ACTION")

    run = add_command(actions, _run)
    _add_study(run)
    run.add_argument("--dry-run", action="store_true", help="show the cells, and what they need, without running them")
    run.add_argument("--rebase", action="store_true", help="choose the shared questions again, which retrains cells")
    run.add_argument(
        "--keep", choices=["none", "best", "all"], default="all", help="students to keep; default: %(default)s"
    )
    _add_study(add_command(actions, _status))
    _add_study(add_command(actions, _report))

    publish = add_command(actions, _publish)
    _add_study(publish)
    publish.add_argument(
        "--namespace", type=user, required=True, metavar="USER", help="owner of the repos and of the collection"
    )
    add_samples(publish)
    add_dry_run(publish)


def _add_study(command: Parser) -> None:
    command.add_argument("file", type=usable_path, metavar="FILE", help="study file, or the name of a shipped one")
    command.add_argument(
        "--out", type=usable_path, metavar="DIR", help="folder of the records; default: runs/studies/NAME"
    )


def _plan(options: argparse.Namespace, *, rebase: bool = False) -> Any:
    from ..studies.plan import plan_file

    return plan_file(str(options.file), options.out, rebase=rebase)


def _run(options: argparse.Namespace) -> int:
    """Train and evaluate the missing cells of a study.

    cot-distill study run arith --dry-run
    """
    from ..studies.checks import check_plan
    from ..studies.status import plan_page

    plan = check_plan(_plan(options, rebase=options.rebase))
    if options.dry_run:
        print(plan_page(plan))
        return 0
    return _run_plan(plan, keep=options.keep)


def _run_plan(plan: Any, **options: Any) -> int:
    from ..studies.run import run_study
    from ..studies.status import by_reason, notes

    for note in notes(plan):
        message(note)
    failed = run_study(plan, **options)
    for line in by_reason({**plan.missing, **failed}):
        message(f"not done: {line}")
    message(f"The records are in {plan.folder}.")
    return 1 if failed or plan.missing else 0


def _status(options: argparse.Namespace) -> int:
    """Show which cells of a study are complete, running, or waiting.

    cot-distill study status arith
    """
    from ..studies.status import print_status

    print_status(_plan(options))
    return 0


def _report(options: argparse.Namespace) -> int:
    """Write what a study found: verdicts, tables and figures.

    cot-distill study report arith --out docs/results/arith
    """
    from ..studies.checks import check_plan

    return _report_plan(check_plan(_plan(options)))


def _report_plan(plan: Any) -> int:
    from ..studies.report import write_study_report
    from ..templates import aligned

    table = write_study_report(plan)
    message(f"The report is in {plan.folder / 'report.md'}, and as a page in {plan.folder / 'report.html'}.")
    print(aligned(table))
    return 0


def _publish(options: argparse.Namespace) -> int:
    """Publish the students of a study to the Hub, and a collection with them and the dataset.

    cot-distill study publish arith --namespace USER --dry-run
    """
    from ..studies.publish import publish_study_collection, study_repos

    plan = _plan(options)
    repos, missing = study_repos(plan, options.namespace)
    for name, reason in missing.items():
        message(f"not done: {name}: {reason}")
    if publish_repos(repos, options):
        return 1
    try:
        collection = publish_study_collection(plan, options.namespace, repos, dry_run=options.dry_run)
    except CotDistillError as error:  # the students are published
        message(f"not done: the collection. {error}")
        return 1
    dry_run = options.dry_run
    show_steps("The collection", collection.steps, collection.slug, dry_run=dry_run, prefix="collection\t")
    return 1 if missing else 0


def _demo(options: argparse.Namespace) -> int:
    """Build the embedded data, train two students, compare them with the untrained one, and report.

    cot-distill demo
    """
    from ..studies.checks import check_plan
    from ..studies.demo import demo_plan

    plan = check_plan(demo_plan())
    return _run_plan(plan) or _report_plan(plan)

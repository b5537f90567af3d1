"""The command `cot-distill`: parse, call, print. Data goes to stdout, messages to stderr.

Exit codes: 0 done; 1 done except for what is named; 2 rejected, nothing written; 130 interrupted.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .environment import check_environment
from .errors import CotDistillError
from .messages import message, quiet_libraries
from .names import HOME_PAGE, RELEASE_NAME
from .parser import Parser, filled_text, model_args, points, positive, usable_path
from .release.editions import DEFAULT_EDITION, EDITIONS


def main(args: Sequence[str] | None = None) -> int:
    """Run one command. A user's mistake or a missing extra becomes one sentence and exit code 2."""
    args = sys.argv[1:] if args is None else args
    parser = make_parser()
    if not args:
        parser.print_help()
        return 0
    quiet_libraries()
    try:
        check_environment()
        options = parser.parse_args(args)
        return int(options.run(options))
    except ModuleNotFoundError as error:
        extra = "train" if args[0] in ("train", "demo") else "eval"
        library = str(error.name).partition(".")[0]
        message(f"cot-distill: `{args[0]}` needs {library}: run `pip install 'cot-distill[{extra}]'`.")
        return 2
    except (CotDistillError, OSError) as error:
        message(f"cot-distill: {error}")
        return 2
    except KeyboardInterrupt:
        message("cot-distill: interrupted. Existing files were not changed.")
        return 130


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="cot-distill",
        description="Distill chain-of-thought reasoning into small models.",
        epilog=f"Documentation: {HOME_PAGE}",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('cot-distill')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_dataset_commands(commands)
    _add_student_commands(commands)
    return parser


def _add_dataset_commands(commands: Any) -> None:
    build = _add(commands, _build)
    build.add_argument(
        "--upstream", type=filled_text, metavar="DIR|URL", help="checkout of the paper's release, or its URL to clone"
    )
    build.add_argument("--benchmarks", type=usable_path, metavar="DIR", help="folder of the test sets")
    build.add_argument(
        "--out", type=usable_path, default=Path(RELEASE_NAME), metavar="DIR", help="default: %(default)s"
    )
    build.add_argument("--edition", choices=list(EDITIONS), default=DEFAULT_EDITION.name, help="default: %(default)s")
    build.add_argument(
        "--unchecked",
        action="store_true",
        help="keep benchmarks without a test split: their rows may be test questions",
    )
    build.add_argument("--strict", action="store_true", help="fail if a file is missing or cannot be read")

    _add_folder(_add(commands, _audit))

    publish = _add(commands, _publish)
    _add_folder(publish)
    publish.add_argument("--repo-id", required=True, metavar="USER/NAME", help="the dataset repo; created if missing")
    publish.add_argument("--dry-run", action="store_true", help="list the steps without carrying them out")

    export = _add(commands, _export)
    _add_folder(export)
    export.add_argument("--to", choices=["llamafactory"], required=True, help="the trainer")
    export.add_argument("--out", type=usable_path, required=True, metavar="DIR", help="the trainer's `dataset_dir`")
    export.add_argument("--config", nargs="+", action="extend", metavar="NAME", help="default: every training config")


def _add_student_commands(commands: Any) -> None:
    train = _add(
        commands, _train,
        usage="%(prog)s [--accelerate PROFILE] [--config RECIPE] [ARGUMENTS]", allow_abbrev=False,
    )  # fmt: skip
    train.add_argument(
        "--accelerate",
        metavar="PROFILE",
        help="cpu, gpu, ddp, fsdp2, zero3, or a YAML; default: all GPUs, else the CPU",
    )
    train.passes_on = True

    evaluate = _add(commands, _evaluate)
    evaluate.add_argument("student", type=usable_path, metavar="STUDENT", help="folder of the student")
    evaluate.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="cot_svamp, cot_distill, …")
    evaluate.add_argument("--backend", choices=["vllm", "hf"], default="vllm", help="default: %(default)s")
    evaluate.add_argument(
        "--release",
        type=usable_path,
        metavar="DIR",
        help=f"release folder of the test splits; default: {RELEASE_NAME}",
    )
    evaluate.add_argument("--limit", type=positive, metavar="N", help="only the first N questions of each task")
    evaluate.add_argument(
        "--model-args", type=model_args, default={}, metavar="NAME=VALUE,…", help="arguments of lm-eval's model"
    )

    report = _add(commands, _report)
    report.add_argument("students", type=usable_path, nargs="+", metavar="STUDENT")
    report.add_argument("--out", type=usable_path, default=Path("runs"), metavar="DIR", help="default: %(default)s")

    _add_compare(commands)
    _add(commands, _card).add_argument("students", type=usable_path, nargs="+", metavar="STUDENT")

    demo = _add(commands, _demo)
    demo.add_argument("--levels", choices=["l3", "all"], default="l3", help="granularities; default: %(default)s")


def _add_compare(commands: Any) -> None:
    comparison = _add(commands, _compare)
    results = "folder or results_*.json of `cot-distill evaluate` or `lm_eval --log_samples --output_path`"
    comparison.add_argument("a", type=usable_path, metavar="A", help=f"results of the model to beat: {results}")
    comparison.add_argument("b", type=usable_path, metavar="B", help="results of the other one on the same questions")
    comparison.add_argument(
        "--margin", type=points, default=3, metavar="POINTS", help="differences below it do not matter; default: 3"
    )
    comparison.add_argument("--metric", metavar="NAME", help="of 0 and 1; default: exact_match, acc, or the first one")
    comparison.add_argument("--flips", action="store_true", help="show the questions that only one model answers")
    comparison.add_argument("--format", choices=["markdown", "json"], default="markdown", help="default: %(default)s")
    comparison.add_argument("--fail-if-worse", action="store_true", help="exit with 1 if B is `worse` on a task")


def _add(commands: Any, run: Callable[[argparse.Namespace], int], **options: Any) -> Parser:
    """Add the command of a function `_name`, whose docstring is a sentence and an example."""
    description, example = (part.strip() for part in (run.__doc__ or "").split("\n\n"))
    command: Parser = commands.add_parser(
        run.__name__[1:], help=description, description=description, epilog=f"Example: {example}", **options
    )
    command.set_defaults(run=run)
    return command


def _add_folder(command: Parser) -> None:
    folder = Path(RELEASE_NAME)
    command.add_argument(
        "folder", type=usable_path, nargs="?", default=folder, metavar="DIR", help="default: %(default)s"
    )


def _build(options: argparse.Namespace) -> int:
    """Write the release folder, a Hub dataset repo.

    cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
    """
    from .release.build import build

    release = build(
        options.out.resolve(), options.upstream, options.benchmarks,
        edition=options.edition, strict=options.strict, unchecked=options.unchecked,
    )  # fmt: skip
    for stats in release.configs:
        print(f"{stats.name}\t{stats.rows}")
    for reason in dict.fromkeys(release.left_out.values()):
        names = [name for name, other in release.left_out.items() if other == reason]
        message(f"skipped: {', '.join(names)}: {reason}")
    if release.absent:
        message(
            f"{len(release.absent)} files of the release's dataset_info.json are missing: the dataset card lists them."
        )
    if release.unchecked:
        message(f"Not checked for leaks: {', '.join(release.unchecked)}.")
    rows = sum(stats.rows for stats in release.configs)
    message(
        f"Wrote {len(release.configs)} configs with {rows:,} rows (edition `{release.edition.name}`) to {options.out}."
    )
    if options.out.resolve() == Path(RELEASE_NAME).resolve():
        message(f'Here, load_dataset("{RELEASE_NAME}") now reads this folder instead of the Hub.')
    message(f"Check it with `cot-distill audit {options.out}`.")
    return 1 if release.left_out else 0


def _audit(options: argparse.Namespace) -> int:
    """Check a release against the rules of its edition; exit code 1 if one is broken.

    cot-distill audit eit/cot-distill
    """
    from .release.audit import PAGE, audit

    report = audit(options.folder)
    for violation in report.broken:
        message(f"broken: {violation}")
    if not report.broken:
        message(f"Every promise of the edition `{report.edition}` is kept.")
    print(options.folder / PAGE)
    return 1 if report.broken else 0


def _publish(options: argparse.Namespace) -> int:
    """Publish an audited release folder to the Hub: one commit and a tag.

    cot-distill publish --repo-id USER/NAME --dry-run
    """
    from .release.publish import publish

    publication = publish(options.folder, options.repo_id, dry_run=options.dry_run)
    if options.dry_run:
        for verb, name in publication.steps:
            print(f"{verb}\t{name}")
    else:
        print(publication.commit)
    counts = ", ".join(f"{verb} {n}" for verb, n in Counter(verb for verb, _ in publication.steps).items())
    target = publication.target
    dry_run = " (not carried out: --dry-run)" if options.dry_run else ""
    message(f"{target.repo_id} at `{target.revision}`, {target.tag}: {counts or 'nothing to do'}{dry_run}.")
    if publication.unfinished:
        message(f"not done: {publication.unfinished}")
    return 1 if publication.unfinished else 0


def _export(options: argparse.Namespace) -> int:
    """Write training configs for another trainer, replacing an older export.

    cot-distill export --to llamafactory --out llamafactory_data --config gpt4o-fine-svamp
    """
    from .release.export import export_llamafactory

    configs = export_llamafactory(options.folder, options.out, options.config)
    for stats in configs:
        print(f"{stats.name}\t{stats.rows}")
    message(f"Wrote {len(configs)} configs to {options.out}: pass it to LLaMA-Factory as `dataset_dir`.")
    return 0


def _train(options: argparse.Namespace) -> int:
    """Train a student with `accelerate launch`.

    cot-distill train --config smollm2-135m --dataset_config gpt4o-fine-svamp
    """
    from .training.launch import launch

    return launch(options.arguments, options.accelerate)


def _evaluate(options: argparse.Namespace) -> int:
    """Evaluate a student with lm-eval; results go to STUDENT/results.

    cot-distill evaluate runs/demo/oracle-l3-arith/seed100 --tasks cot_arith --backend hf
    """
    from .evaluation.results import Student
    from .evaluation.run import EvaluationConfig, evaluate
    from .reports.model_card import update_model_cards
    from .reports.tables import aligned, score_table

    student = Student.open(options.student)
    config = EvaluationConfig(
        backend=options.backend, release=options.release, limit=options.limit, model_args=options.model_args
    )
    scores = evaluate(student, [name for text in options.tasks for name in text.split(",")], config)
    print(aligned(score_table(scores)))
    try:
        if student.provenance:
            update_model_cards(student)
            _name_limited(student)
    except CotDistillError as error:  # of other results that the student has
        message(f"The model card was not changed: {error}")
        return 1
    return 0


def _report(options: argparse.Namespace) -> int:
    """Compare students in one report.

    cot-distill report runs/demo/untrained runs/demo/oracle-l3-arith/seed100
    """
    from .evaluation.results import Student
    from .reports.report import write_report
    from .reports.tables import aligned

    table = write_report(options.out, [Student.open(folder) for folder in options.students])
    message(f"The report is in {options.out / 'report.md'}.")
    print(aligned(table))
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Compare two results of the same tasks: is B `better`, `worse`, or the `same within ±3`, or `cannot tell`?

    cot-distill compare runs/demo/untrained runs/demo/oracle-l3-arith/seed100 --flips
    """
    from .evaluation.compare import WORSE, compare, comparison_json, comparison_page

    comparisons = compare(options.a, options.b, options.margin / 100, options.metric)
    page = comparison_json if options.format == "json" else comparison_page
    print(page(options.a, options.b, comparisons, flips=options.flips))
    return 1 if options.fail_if_worse and any(c.verdict == WORSE for c in comparisons) else 0


def _card(options: argparse.Namespace) -> int:
    """Update a student's model card with its current scores.

    cot-distill card runs/demo/oracle-l3-arith/seed100
    """
    from .evaluation.results import Student
    from .reports.model_card import update_model_cards

    students = [Student.open(folder) for folder in options.students]
    for path in update_model_cards(*students):
        print(path)
    for student in students:
        _name_limited(student)
    return 0


def _name_limited(student: Any) -> None:
    if limited := sorted({score.task for score in student.scores.values() if score.limit}):
        message(f"Not in the card: results with --limit, of {', '.join(limited)}.")


def _demo(options: argparse.Namespace) -> int:
    """Build, train two students, evaluate them, write runs/demo/report.md.

    cot-distill demo --levels all
    """
    from .reports.tables import aligned
    from .studies.demo import demo

    print(aligned(demo(all_levels=options.levels == "all")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

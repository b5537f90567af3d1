"""The command `cot-distill`. Data goes to stdout, messages to stderr.

Exit codes: 0 done; 1 done except for what is named; 2 refused, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from _thread import interrupt_main
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

from .taxonomy import EDITIONS, RELEASE_NAME, CotDistillError


def main(args: list[str] | None = None) -> int:
    """Run one verb; what a user got wrong becomes one sentence and exit code 2."""
    options = _parser().parse_args(args)
    try:
        with _no_interrupt_lost():
            return int(options.run(options))
    except (CotDistillError, OSError) as error:
        _say(f"cot-distill: {error}")
        return 2
    except KeyboardInterrupt:
        _say("cot-distill: interrupted; what was there is as it was.")
        return 130


@contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Raise Ctrl-C once more where it fell into a destructor (such as pyarrow's), whose errors Python only prints."""

    def raise_again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            Timer(0.05, interrupt_main).start()  # not now: it would be lost in here
        else:
            former(lost)

    former, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    finally:
        sys.unraisablehook = former


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cot-distill", description="Distill Chain-of-Thought into small models.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = verbs.add_parser("build", help="write the release folder, a Hub dataset repo")
    build.add_argument("--upstream", metavar="DIR|URL", help="checkout of the paper's release, or its URL to clone")
    build.add_argument("--benchmarks", type=Path, metavar="DIR", help="folder of the test sets")
    build.add_argument("--out", type=Path, default=Path(RELEASE_NAME), metavar="DIR", help="default: %(default)s")
    build.add_argument("--edition", choices=EDITIONS, default="clean", help="default: %(default)s")
    build.add_argument("--unchecked", action="store_true", help="keep benchmarks without a test split: leaks may stay")
    build.add_argument("--strict", action="store_true", help="refuse where a file is absent or cannot be read")
    build.set_defaults(run=_build)

    export = verbs.add_parser("export", help="write training configs for another trainer; a former export is replaced")
    _add_folder(export)
    export.add_argument("--to", choices=["llamafactory"], required=True, help="the trainer that is to read them")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="its `dataset_dir`")
    export.add_argument("--config", nargs="+", action="extend", metavar="NAME", help="default: every training config")
    export.set_defaults(run=_export)

    audit = verbs.add_parser("audit", help="read a release back; exit code 1 where its edition breaks a promise")
    _add_folder(audit)
    audit.set_defaults(run=_audit)

    publish = verbs.add_parser("publish", help="bring a release folder to the Hub: one commit and a tag")
    _add_folder(publish)
    publish.add_argument(
        "--repo-id", required=True, metavar="USER/NAME", help="the dataset repo, made if it is not there"
    )
    publish.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    publish.set_defaults(run=_publish)

    evaluate = verbs.add_parser("evaluate", help="ask a student the test questions, through lm-eval")
    evaluate.add_argument("student", type=Path, metavar="STUDENT", help="its folder; results go to STUDENT/results")
    evaluate.add_argument(
        "--tasks", nargs="+", required=True, metavar="TASK", help="tasks or groups: cot_svamp, cot_distill, …"
    )
    evaluate.add_argument("--backend", choices=["vllm", "hf"], default="vllm", help="default: %(default)s")
    evaluate.add_argument(
        "--release", type=Path, metavar="DIR", help=f"the test splits, default: {RELEASE_NAME}, else the Hub"
    )
    evaluate.add_argument("--limit", type=_positive, metavar="N", help="the first N questions of each task only")
    evaluate.add_argument(
        "--model-args", type=_model_args, default={}, metavar="NAME=VALUE,…", help="arguments of lm-eval's model"
    )
    evaluate.set_defaults(run=_evaluate)

    report = verbs.add_parser(
        "report", help="write one report of the students' results, by whichever command they were made"
    )
    report.add_argument("students", type=Path, nargs="+", metavar="STUDENT")
    report.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="default: %(default)s")
    report.set_defaults(run=_report)

    card = verbs.add_parser("card", help="write a trained student's model card again, with the scores that it has now")
    card.add_argument("students", type=Path, nargs="+", metavar="STUDENT")
    card.set_defaults(run=_card)

    demo = verbs.add_parser("demo", help="build, train two students, evaluate them, write runs/demo/report.md")
    demo.add_argument("--levels", choices=["l3", "all"], default="l3", help="granularities to train, default: l3")
    demo.set_defaults(run=_demo)
    return parser


def _positive(given: str) -> int:
    if not given.isdecimal() or not int(given):
        raise argparse.ArgumentTypeError(f"{given!r} is no number of questions: 1 or more")
    return int(given)


def _model_args(given: str) -> dict[str, Any]:
    from lm_eval.utils import simple_parse_args_string

    if not all("=" in argument for argument in given.split(",")):
        raise argparse.ArgumentTypeError(f"{given!r} is not NAME=VALUE,NAME=VALUE,…")
    return dict(simple_parse_args_string(given))


def _add_folder(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "folder", type=Path, nargs="?", default=Path(RELEASE_NAME), metavar="DIR", help="default: %(default)s"
    )


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _build(options: argparse.Namespace) -> int:
    from .build import build

    release = build(
        options.out.resolve(), options.upstream, options.benchmarks,
        edition=options.edition, strict=options.strict, unchecked=options.unchecked,
    )  # fmt: skip
    for stats in release.configs:
        print(f"{stats.name}\t{stats.rows}")
    for why in dict.fromkeys(release.left_out.values()):
        names = [name for name, reason in release.left_out.items() if reason == why]
        _say(f"left out: {', '.join(names)}: {why}")
    if release.absent:
        _say(f"{len(release.absent)} files of the manifest are absent and were passed over: the card names them.")
    if release.unchecked:
        _say(f"Not checked for leaks: {', '.join(release.unchecked)}.")
    rows = sum(stats.rows for stats in release.configs)
    _say(f"Edition `{release.edition}`: {len(release.configs)} configs with {rows:,} rows are in {options.out}.")
    if options.out.resolve() == Path(RELEASE_NAME).resolve():
        _say(f'Here, load_dataset("{RELEASE_NAME}") now reads this folder, not the Hub, whatever its `revision`.')
    _say(f"Check it with `cot-distill audit {options.out}`.")
    return 1 if release.left_out else 0


def _export(options: argparse.Namespace) -> int:
    from .export import export_llamafactory

    exported = export_llamafactory(options.folder, options.out, options.config)
    for stats in exported:
        print(f"{stats.name}\t{stats.rows}")
    _say(f"{len(exported)} configs are in {options.out}: give it to LLaMA-Factory as `dataset_dir`.")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from .audit import PAGE, audit

    done = audit(options.folder)
    for said in done.broken:
        _say(f"broken: {said}")
    if not done.broken:
        _say(f"Every promise of the edition `{done.edition}` is kept.")
    print(options.folder / PAGE)
    return 1 if done.broken else 0


def _publish(options: argparse.Namespace) -> int:
    from .hub import publish

    done = publish(options.folder, options.repo_id, dry_run=options.dry_run)
    if options.dry_run:
        for verb, what in done.steps:
            print(f"{verb}\t{what}")
    else:
        print(done.commit)
    counts = ", ".join(f"{verb} {number}" for verb, number in Counter(verb for verb, _ in done.steps).items())
    where = f"{options.repo_id} at `{done.revision}`, {done.tag}"
    _say(f"{where}: {counts or 'nothing to do'}{' (not done: --dry-run)' if options.dry_run else ''}.")
    if done.unfinished:
        _say(f"not done: {done.unfinished}")
    return 1 if done.unfinished else 0


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluate import Evaluation, evaluate
    from .model_card import update_model_cards
    from .provenance import read_provenance
    from .report import ReportRow, table

    how = Evaluation(
        backend=options.backend, release=options.release, limit=options.limit,
        model_args=options.model_args,
    )  # fmt: skip
    scores = evaluate(options.student, [name for given in options.tasks for name in given.split(",")], how)
    made = read_provenance(options.student)
    print(table([ReportRow(options.student, score, made) for score in scores]))
    try:
        if made:
            update_model_cards([options.student])
    except CotDistillError as error:  # of other results that the student has
        _say(f"The model card is as it was: {error}")
        return 1
    return 0


def _report(options: argparse.Namespace) -> int:
    from .report import write_report

    print(write_report(options.out, options.students))
    return 0


def _card(options: argparse.Namespace) -> int:
    from .model_card import update_model_cards

    for path in update_model_cards(options.students):
        print(path)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from .study import demo

    print(demo(all_levels=options.levels == "all"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

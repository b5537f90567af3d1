"""The commands that make, check and publish the dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..errors import CotDistillError
from ..grading.conclusions import Kind
from ..messages import count, message
from ..names import RELEASE_NAME, ROW_PARTS
from ..release.editions import DEFAULT_EDITION, EDITIONS
from .parser import Parser, add_command, add_folder, column_map, filled_text, positive, usable_path
from .publications import add_dry_run, show_publication


if TYPE_CHECKING:
    from ..sources.own_rows import OwnRows


def add_dataset_commands(commands: Any) -> None:
    """Add `build`, `audit`, `publish` and `export`."""
    build = add_command(commands, _build)
    build.add_argument(
        "--upstream", type=filled_text, metavar="DIR|URL", help="checkout of the paper's release, or its URL to clone"
    )
    build.add_argument("--benchmarks", type=usable_path, metavar="DIR", help="folder of the test sets")
    build.add_argument("--annotations", type=usable_path, metavar="DIR", help="folder of the stores of new teachers")
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
    _add_own_rows(build)

    add_folder(add_command(commands, _audit))

    publish = add_command(commands, _publish)
    add_folder(publish)
    publish.add_argument("--repo-id", required=True, metavar="USER/NAME", help="the dataset repo; created if missing")
    add_dry_run(publish)

    export = add_command(commands, _export)
    add_folder(export)
    export.add_argument("--to", choices=["llamafactory"], required=True, help="the trainer")
    export.add_argument("--out", type=usable_path, required=True, metavar="DIR", help="the trainer's `dataset_dir`")
    export.add_argument("--config", nargs="+", action="extend", metavar="NAME", help="default: every training config")


def _add_own_rows(build: Parser) -> None:
    """Add the options of `--rows`. A build writes the folder from scratch, so one command has all sources."""
    own = build.add_argument_group(
        "your own rows",
        "CoT that you have. A build replaces the folder, so name all sources in one command; `--teacher`, "
        "`--granularity` and `--format` have one value for all, or one for each.",
    )
    own.add_argument(
        "--rows", nargs="+", type=filled_text, metavar="SOURCE",
        help=".json, .jsonl, .csv, .tsv, .parquet or .arrow, or a Hub dataset (USER/NAME[/CONFIG[/SPLIT]])",
    )  # fmt: skip
    own.add_argument("--teacher", nargs="+", metavar="NAME", help="who wrote the CoT: a new name, or `human`")
    own.add_argument("--granularity", nargs="+", metavar="LEVEL", help="the level that names the config: l1 … l6")
    own.add_argument("--format", nargs="+", metavar="NAME", help="cot (default), l2m, rar or symbolic")
    own.add_argument(
        "--benchmark", metavar="NAME", help="a known one, or a new name [a-z0-9_]+; default: the name of SOURCE"
    )
    own.add_argument("--answer-kind", choices=get_args(Kind), help="of a question set of your own")
    own.add_argument(
        "--map", type=column_map, metavar="PART=COLUMN,…", help=f"columns of an unknown layout: {', '.join(ROW_PARTS)}"
    )
    own.add_argument("--test-rows", type=positive, metavar="N", help="hold out N questions of your own as test split")
    own.add_argument("--license", type=filled_text, metavar="ID", help="of your rows, as the Hub writes it: cc-by-4.0")


def _own_rows(options: argparse.Namespace) -> OwnRows | None:
    """Return the plan of `--rows`; None without it. Raises CotDistillError if an option is missing or left over."""
    from ..sources.own_rows import OwnRows

    names = {"teacher": "teachers", "granularity": "granularities", "format": "formats", "map": "mapping"}
    names |= {name: name for name in ("benchmark", "answer_kind", "license", "test_rows")}
    given = {name: value for name in names if (value := getattr(options, name))}
    if not options.rows and given:
        raise CotDistillError(f"`--{next(iter(given)).replace('_', '-')}` describes your own rows: add `--rows`.")
    if options.rows and not options.teacher:
        raise CotDistillError("`--rows` needs `--teacher NAME`, who wrote the CoT.")
    values = {names[name]: value for name, value in given.items()}
    return OwnRows.plan(options.rows, **values) if options.rows else None


def _build(options: argparse.Namespace) -> int:
    """Write the release folder, a Hub dataset repo.

    cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
    """
    from ..release.build import build

    release = build(
        options.out.resolve(), options.upstream, options.benchmarks, _own_rows(options),
        annotations=options.annotations, edition=options.edition, strict=options.strict, unchecked=options.unchecked,
    )  # fmt: skip
    for stats in release.configs:
        print(f"{stats.name}\t{stats.rows}")
    for reason in dict.fromkeys(release.left_out.values()):
        names = [name for name, other in release.left_out.items() if other == reason]
        message(f"skipped: {', '.join(names)}: {reason}")
    if release.absent:
        absent = count(len(release.absent), "file")
        message(f"Missing: {absent} of the release's dataset_info.json. The dataset card lists them.")
    if release.unchecked:
        message(f"Not checked for leaks: {', '.join(release.unchecked)}.")
    for name in release.own_benchmarks:
        splits = ", ".join(stats.name for stats in release.configs if stats.split == "test")
        hint = "" if options.benchmarks or options.upstream else " `--benchmarks DIR` adds the paper's test sets."
        message(f"`{name}` was checked for leaks against {splits}.{hint}")
    configs, rows = count(len(release.configs), "config"), sum(stats.rows for stats in release.configs)
    message(f"Wrote {configs} with {rows:,} rows (edition `{release.edition.name}`) to {options.out}.")
    if options.out.resolve() == Path(RELEASE_NAME).resolve():
        message(f'Here, load_dataset("{RELEASE_NAME}") now reads this folder instead of the Hub.')
    message(f"Check it with `cot-distill audit {options.out}`.")
    return 1 if release.left_out else 0


def _audit(options: argparse.Namespace) -> int:
    """Check a release against the rules of its edition; exit code 1 if one is broken.

    cot-distill audit eit/cot-distill
    """
    from ..release.audit import PAGE, audit

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
    from ..release.publish import publish

    publication = publish(options.folder, options.repo_id, dry_run=options.dry_run)
    return show_publication(publication, dry_run=options.dry_run)


def _export(options: argparse.Namespace) -> int:
    """Write training configs for another trainer, replacing an older export.

    cot-distill export --to llamafactory --out llamafactory_data --config gpt4o-fine-svamp
    """
    from ..release.export import export_llamafactory

    configs = export_llamafactory(options.folder, options.out, options.config)
    for stats in configs:
        print(f"{stats.name}\t{stats.rows}")
    message(f"Wrote {count(len(configs), 'config')} to {options.out}: pass it to LLaMA-Factory as `dataset_dir`.")
    return 0

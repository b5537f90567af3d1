"""The commands that make, check and publish the dataset."""

import argparse
from pathlib import Path
from typing import Any

from ..messages import message
from ..names import RELEASE_NAME
from ..release.editions import DEFAULT_EDITION, EDITIONS
from .parser import add_command, add_folder, filled_text, usable_path
from .publications import add_dry_run, show_publication


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


def _build(options: argparse.Namespace) -> int:
    """Write the release folder, a Hub dataset repo.

    cot-distill build --upstream ../shared/upstream --benchmarks ../shared/benchmarks
    """
    from ..release.build import build

    release = build(
        options.out.resolve(), options.upstream, options.benchmarks, annotations=options.annotations,
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
    message(f"Wrote {len(configs)} configs to {options.out}: pass it to LLaMA-Factory as `dataset_dir`.")
    return 0

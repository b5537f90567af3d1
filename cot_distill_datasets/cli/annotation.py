"""The command that asks a teacher for CoT, and the one that shows what became of its answers."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CotDistillError, nearest
from ..messages import message
from ..names import DEFAULT_FORMAT, RELEASE_NAME, TEACHERS, ConfigName
from .parser import Parser, add_command, filled_text, positive, usable_path


if TYPE_CHECKING:
    from ..teachers.requests import Plan
    from ..teachers.spending import Price


_OWN_FIELDS = ("model", "messages", "n", "stream")  # of a request; `--extra-body` may not set them


def add_annotation_commands(commands: Any) -> None:
    """Add `annotate` and `annotate status`."""
    command = add_command(commands, _annotate)
    _add_plan(command)
    _add_sending(command)
    offline = command.add_argument_group("without a server")
    one = offline.add_mutually_exclusive_group()
    one.add_argument("--dry-run", action="store_true", help="show the first request, and estimate tokens and cost")
    one.add_argument("--batch-file", type=usable_path, metavar="FILE", help="write what is missing as an OpenAI batch")
    one.add_argument("--collect", type=usable_path, metavar="FILE", help="read the results of that batch")
    offline.add_argument(
        "--errors", type=usable_path, metavar="FILE", help="with --collect: the batch's file of errors"
    )

    status = add_command(command.add_subparsers(metavar="[status]"), _status)
    status.add_argument("--teacher", nargs="+", default=[], metavar="NAME", help="default: every teacher with answers")
    _add_annotations(status)
    status.add_argument(
        "--price", nargs="+", type=_price, default=[], metavar="IN,OUT", help="of a million tokens, for each teacher"
    )
    status.add_argument("--show", metavar="REASON", help="also list the answers with this reason, or `all`")


def _add_plan(command: Parser) -> None:
    command.add_argument("--teacher", type=filled_text, metavar="NAME", help="its name in the configs: qwen3_32b")
    command.add_argument("--model", type=filled_text, metavar="NAME", help="its name on the server")
    command.add_argument(
        "--benchmark", nargs="+", default=[], metavar="NAME", help="their training questions are asked"
    )
    command.add_argument("--granularity", nargs="+", default=["l3"], metavar="LEVEL", help="l1 … l6; default: l3")
    command.add_argument("--format", nargs="+", default=[DEFAULT_FORMAT], metavar="NAME", help="default: cot")
    command.add_argument(
        "--no-gold", action="store_true", help="the teacher must find the answer; by default it explains the gold"
    )
    command.add_argument("--samples", type=positive, default=1, metavar="N", help="answers to each; default: 1")
    command.add_argument("--limit", type=positive, metavar="N", help="only the first questions of each benchmark")
    command.add_argument("--max-tokens", type=positive, default=1024, metavar="N", help="default: %(default)s")
    command.add_argument("--temperature", type=_amount, default=0.7, metavar="T", help="default: %(default)s")
    command.add_argument(
        "--extra-body", type=_fields, default={}, metavar="JSON", help="further fields of a request; null removes one"
    )
    folder = Path(RELEASE_NAME)
    command.add_argument("--release", type=usable_path, default=folder, metavar="DIR", help="default: %(default)s")
    _add_annotations(command)


def _add_annotations(command: Parser) -> None:
    folder = Path("annotations")
    command.add_argument(
        "--annotations", type=usable_path, default=folder, metavar="DIR", help="of all teachers; default: %(default)s"
    )


def _add_sending(command: Parser) -> None:
    sending = command.add_argument_group("sending (the API key is OPENAI_API_KEY of the environment)")
    sending.add_argument("--base-url", type=filled_text, metavar="URL", help="default: OPENAI_BASE_URL, or OpenAI's")
    sending.add_argument("--concurrency", type=positive, default=32, metavar="N", help="default: %(default)s")
    sending.add_argument("--timeout", type=positive, default=600, metavar="SECONDS", help="default: 600")
    sending.add_argument("--retry-failed", action="store_true", help="ask again where the answer is not kept")
    sending.add_argument("--no-gate", action="store_true", help="continue even if the first answers are unusable")
    sending.add_argument("--price", type=_price, metavar="IN,OUT", help="of a million tokens, to show the cost")
    sending.add_argument(
        "--max-cost", type=_amount, metavar="COST",
        help="stop before all answers cost more; those lost on the way count only in their own run",
    )  # fmt: skip


def _amount(text: str) -> float:
    """Return a number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number < 0 or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def _price(text: str) -> Price:
    """Return the price of a million prompt and output tokens."""
    from ..teachers.spending import Price

    if text.count(",") != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT")
    return Price(*map(_amount, text.split(",")))


def _fields(text: str) -> dict[str, Any]:
    """Return further fields of a request."""
    try:
        fields = json.loads(text)
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()  # what cannot be sent is a ValueError
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or set(_OWN_FIELDS) & set(fields):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object without {', '.join(_OWN_FIELDS)}")
    return fields


def _annotate(options: argparse.Namespace) -> int:
    """Ask a teacher for CoT to the training questions, and keep every answer.

    cot-distill annotate --teacher qwen3_32b --model Qwen/Qwen3-32B --benchmark gsm8k --granularity l1 l3 --dry-run
    """
    plan, store = _plan(options), options.annotations / options.teacher
    if options.dry_run:
        return _dry_run(plan, store, options.price)
    if options.batch_file or options.collect:
        return _batch(plan, store, options)
    from ..teachers.annotate import Settings, annotate

    names = ("base_url", "concurrency", "timeout", "price", "max_cost", "retry_failed")
    settings = Settings(gate=not options.no_gate, **{name: getattr(options, name) for name in names})
    try:
        result = annotate(store, plan, settings)
    except KeyboardInterrupt:
        message(f"cot-distill: interrupted. The answers so far are in {store}: run the command again to resume.")
        return 130
    for reason, count in result.unanswered.most_common(5):
        message(f"not done: {count} without an answer: {reason}")
    if result.stopped:
        message(f"stopped: {result.stopped}")
    return _show_results(plan, store)


def _plan(options: argparse.Namespace) -> Plan:
    from ..teachers.requests import Plan, load_questions

    lacking = [f"`--{name}`" for name in ("teacher", "model", "benchmark") if not getattr(options, name)]
    if lacking:
        raise CotDistillError(f"`cot-distill annotate` needs {', '.join(lacking)}: see `cot-distill annotate --help`.")
    if options.teacher in TEACHERS:
        raise CotDistillError(f"The teacher {options.teacher!r} has configs already: use another name as `--teacher`.")
    if options.errors and not options.collect:
        raise CotDistillError("`--errors` is the second file of a batch: pass the first one as `--collect`.")
    names = [
        f"{options.teacher}-{granularity}-{format_}-{benchmark}"
        for benchmark in options.benchmark
        for granularity in options.granularity
        for format_ in options.format
    ]
    configs = tuple(dict.fromkeys(ConfigName.parse(name) for name in names))
    if options.samples > 1 and not options.temperature:
        raise CotDistillError(f"{options.samples} samples at temperature 0 are all equal: use `--temperature 0.7`.")
    fields = {"max_tokens": options.max_tokens, "temperature": options.temperature} | options.extra_body
    parameters = {name: value for name, value in fields.items() if value is not None}
    benchmarks = dict.fromkeys(config.benchmark for config in configs)
    questions = {name: load_questions(options.release, name, options.limit) for name in benchmarks}
    return Plan(options.model, parameters, configs, questions, options.samples, conditioned=not options.no_gold)


def _dry_run(plan: Plan, store: Path, price: Price | None) -> int:
    from ..teachers.estimate import COLUMNS, estimate, first_request

    print(first_request(plan))
    for row in [COLUMNS, *estimate(plan, store, price)]:
        print(*row, sep="\t")
    return 0


def _batch(plan: Plan, folder: Path, options: argparse.Namespace) -> int:
    from ..teachers.batch import collect_batch, write_batch
    from ..teachers.store import open_store

    with open_store(folder, retry_failed=options.retry_failed) as store:
        if options.batch_file:
            sizes = write_batch(plan, store, options.batch_file)
            for path, requests in sizes.items():
                print(f"{path}\t{requests}")
            if not sizes:
                message("Nothing is missing, so no batch was written.")
            return 0
        collection = collect_batch(plan, store, [path for path in (options.collect, options.errors) if path])
    for name, problem in collection.missing.items():
        print(f"missing\t{name}\t{problem}")
    message(
        f"{collection.answers} answers collected, {len(collection.missing)} missing, {collection.repeated} repeated, "
        f"{collection.unknown} of other requests."
    )
    return _show_results(plan, folder)


def _show_results(plan: Plan, store: Path) -> int:
    """Print the answers of a plan by reason; the exit code is 1 unless all are kept."""
    from ..sources.generated import ANSWERS, KEPT
    from ..teachers.status import judge_answers, reason_table

    keys = {bytes.fromhex(request.key) for request in plan.requests()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer, reason in judge_answers(store, keys) if (store / ANSWERS).is_file() else ():
        counts[answer.config][reason] += 1
    for row in reason_table(counts):
        print(*row, sep="\t")
    kept, answers = (sum(by_reason[KEPT] for by_reason in counts.values()), sum(c.total() for c in counts.values()))
    message(f"{kept} of {plan.size} answers are kept; {plan.size - answers} are missing. The store is {store}.")
    return 0 if kept == plan.size else 1


def _status(options: argparse.Namespace) -> int:
    """Show the answers of teachers by reason, their levels and formats, and what a row costs.

    cot-distill annotate status --teacher qwen3_32b llama4_scout --price 0.2,0.6 0.1,0.3
    """
    from ..sources.generated import REASONS
    from ..teachers.status import answer_line, find_stores
    from ..teachers.verify import check_store, judged_answers, price_of_each, verification

    if options.show not in (None, "all", *REASONS):
        raise CotDistillError(f"Unknown reason {options.show!r}: use {nearest(options.show, [*REASONS, 'all'])}.")
    stores = find_stores(options.annotations, options.teacher)
    prices = price_of_each(options.price, stores)
    checks = {store.name: check_store(store) for store in stores}
    for store in stores if options.show else []:
        for answer, reason in judged_answers(store, checks[store.name]):
            if options.show in (reason, "all"):
                print(answer_line(answer, reason))
    print(verification(checks, prices))
    return 0

"""What `--dry-run` shows: the first request as it will be sent, and the tokens and cost of all that are missing."""

import json
from collections import defaultdict
from pathlib import Path

from ..sources.generated import ANSWERS, read_answers
from ..templates import printable
from .requests import Plan
from .spending import Price, output_limit


COLUMNS = ("config", "requests", "prompt tokens", "output tokens", "cost")
_BYTES_PER_TOKEN = 4  # of English text


def first_request(plan: Plan) -> str:
    """Return the body of the first request, as JSON that a terminal can show."""
    return printable(json.dumps(next(plan.requests()).body, indent=2, ensure_ascii=False))


def estimate(plan: Plan, store: Path, price: Price | None) -> list[list[str]]:
    """Return the rows of a table: each config with its missing requests, their tokens and their cost.

    Output tokens are the mean of the config's answers in the store; without any, the limit of tokens for each.
    """
    keys: set[bytes] = set()
    lengths: dict[str, list[int]] = defaultdict(list)
    for answer in read_answers(store) if (store / ANSWERS).is_file() else ():
        keys.add(bytes.fromhex(answer.key))
        lengths[answer.config] += [answer.output_tokens] if answer.output_tokens is not None else []
    requests = dict.fromkeys(map(str, plan.configs), 0)
    prompts = dict.fromkeys(requests, 0)
    for request in plan.requests():
        if bytes.fromhex(request.key) not in keys:
            requests[str(request.config)] += 1
            prompts[str(request.config)] += sum(len(turn["content"].encode()) for turn in request.prompt.messages)
    limit = output_limit(plan.parameters)
    rows = []
    for config, count in requests.items():
        known = lengths[config]
        mean = sum(known) / len(known) if known else limit
        tokens = prompts[config] / _BYTES_PER_TOKEN
        output = None if mean is None else count * mean
        cost = price.cost(tokens, output) if price and output is not None else None
        rows.append([config, str(count), *_shown(tokens, output, cost, at_most=not known)])
    return rows


def _shown(prompt: float, output: float | None, cost: float | None, *, at_most: bool) -> list[str]:
    least = "at most " if at_most else "about "
    return [
        f"about {prompt:.0f}",
        "unlimited" if output is None else f"{least}{output:.0f}",
        "unknown" if cost is None else f"{least}{cost:.4f}",
    ]

"""OpenAI batch files instead of a server that answers at once: requests are written, results read back.

    requests.jsonl    {"custom_id": KEY, "method": "POST", "url": "/v1/chat/completions", "body": {…}}
    results.jsonl     {"custom_id": KEY, "response": {"status_code": 200, "body": {…}}, "error": null}

A batch may be "completed" although results are missing, and its errors are in a file of their own (OpenAI, Batch API).
So results are found by `custom_id`, in any order.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import CotDistillError
from ..files import atomic_file
from ..templates import printable
from .requests import Completion, Plan, Request
from .store import Store


_MOST_REQUESTS, _MOST_BYTES = 50_000, 200 * 10**6  # of one file (OpenAI, Batch API)


def write_batch(plan: Plan, store: Store, path: Path) -> dict[Path, int]:
    """Write what the store lacks as batch files, and return the number of requests of each.

    A file has at most 50,000 requests and 200 MB: the second one of `requests.jsonl` is `requests-2.jsonl`. There is
    none if nothing is missing.
    """
    lines = (_batch_line(request) for request in plan.requests() if request.key not in store)
    sizes: dict[Path, int] = {}
    line = next(lines, None)
    for number in count(1):
        if line is None:
            break
        part = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        sizes[part] = size = 0
        with atomic_file(part) as staged, staged.open("wb") as file:
            while line and sizes[part] < _MOST_REQUESTS and size + len(line) <= _MOST_BYTES:
                size += file.write(line)
                sizes[part] += 1
                line = next(lines, None)
    return sizes


def _batch_line(request: Request) -> bytes:
    line = {"custom_id": request.key, "method": "POST", "url": "/v1/chat/completions", "body": request.body}
    return json.dumps(line).encode() + b"\n"


@dataclass
class Collection:
    """What was read from the results of a batch.

    `missing` has, for each request that still has no answer, its name and what the files say about it. `unknown` are
    results of other requests, `repeated` those of a request that had one before.
    """

    answers: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    unknown: int = 0
    repeated: int = 0


def collect_batch(plan: Plan, store: Store, paths: list[Path]) -> Collection:
    """Append the answers of result and error files to the store.

    Raises CotDistillError, which names the line, if a file cannot be read.
    """
    places, repeated = _find_results(paths)
    collection = Collection(repeated=repeated)
    for request in plan.requests():
        place = places.pop(request.key, None)
        if request.key in store:
            continue
        result = _load(*place) if place else {}
        if completion := _completion(result):
            store.append(request.answer(completion, 0.0), request.prompt)
            collection.answers += 1
        else:
            collection.missing[request.name] = _problem(result)
    collection.unknown = len(places)
    return collection


def _find_results(paths: list[Path]) -> tuple[dict[str, tuple[Path, int]], int]:
    """Return the place of the result of each id, an answer rather than an error, and how many more there are."""
    places: dict[str, tuple[Path, int]] = {}
    repeated = 0
    for path in paths:
        for position, result in _read_lines(path):
            key = str(result.get("custom_id"))
            repeated += key in places
            if key not in places or _completion(result):
                places[key] = path, position
    return places, repeated


def _load(path: Path, position: int) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(position)
        return dict(json.loads(file.readline()))


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the position in bytes and the content of each line."""
    position = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield position, _parse(line, f"{path}: line {number}")
                position += len(line)
    except OSError as error:
        raise CotDistillError(f"{path}: cannot be read as the results of a batch: {error}") from error


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        result = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
        raise CotDistillError(f"{place} is not a result of a batch: {error}") from error
    if not isinstance(result, dict):
        raise CotDistillError(f"{place} is not a result of a batch: it is not a JSON object.")
    return result


def _completion(result: dict[str, Any]) -> Completion | None:
    match result:
        case {"response": {"status_code": 200, "body": body}}:
            return Completion.read(body)
    return None


def _problem(result: dict[str, Any]) -> str:
    """Return what a batch says about a request without an answer, in one line for a terminal."""
    match result:
        case {"error": {"message": str(said)}} | {"response": {"body": {"error": {"message": str(said)}}}}:
            return " ".join(printable(said).split())
        case {"response": {"status_code": status}}:
            return f"status {status}, without an answer"
    return "in none of the files"

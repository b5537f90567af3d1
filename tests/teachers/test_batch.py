"""Batch files: requests are written, results read in any order, and what is missing is named."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from annotation import lines, reasons, run
from teacher_server import TeacherServer

from cot_distill_datasets.teachers import batch


NOWHERE = "http://127.0.0.1:9/v1"  # a batch needs no server


def _read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def _results(answers: dict[str, str], requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a provider would answer to a batch."""
    server = TeacherServer(answers)
    return [
        {
            "id": f"batch_{number}",
            "custom_id": request["custom_id"],
            "response": {"status_code": 200, "body": server.completion(request["body"])},
            "error": None,
        }
        for number, request in enumerate(requests)
    ]


def _write(path: str, results: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(result) + "\n" for result in results))


def _error(result: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    return result | {"response": {"status_code": status, "body": {"error": {"message": message}}}}


def test_a_batch_has_the_requests_that_a_server_would_get(answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        assert run(NOWHERE, "--batch-file", "requests.jsonl") == 0
        assert run(server.url) == 0
    requests = _read("requests.jsonl")
    assert {request["custom_id"] for request in requests} == {line["key"] for line in lines()}
    assert {request["url"] for request in requests} == {"/v1/chat/completions"}
    bodies = [json.dumps(request["body"], sort_keys=True) for request in requests]
    assert sorted(bodies) == sorted(json.dumps(body, sort_keys=True) for body in server.requests)


def test_results_are_collected_in_any_order_and_what_is_missing_is_named(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(NOWHERE, "--batch-file", "requests.jsonl")
    results = _results(answers, _read("requests.jsonl"))
    random.Random(0).shuffle(results)
    _, expired, failed, broken = results[:4]
    broken["response"]["body"]["choices"] = []
    other = results[9] | {"custom_id": "f" * 64}
    _write("results.jsonl", [*results[3:], results[7], other])
    _write(
        "errors.jsonl",
        [_error(failed, 400, "too\n long\x1b"), expired | {"response": None, "error": {"message": "late"}}],
    )
    capsys.readouterr()
    assert run(NOWHERE, "--collect", "results.jsonl", "--errors", "errors.jsonl") == 1
    output = capsys.readouterr()
    assert reasons() == {"kept": 76} and len(lines()) == 76
    named = [row.split("\t")[2] for row in output.out.splitlines() if row.startswith("missing\t")]
    assert sorted(named) == ["in none of the files", "late", "status 200, without an answer", "too long\\x1b"]
    assert "76 answers collected, 4 missing, 1 repeated, 1 of other requests" in output.err

    assert run(NOWHERE, "--batch-file", "rest.jsonl") == 0
    rest = _read("rest.jsonl")
    assert {request["custom_id"] for request in rest} == {result["custom_id"] for result in results[:4]}
    _write("results.jsonl", _results(answers, rest))
    assert run(NOWHERE, "--collect", "results.jsonl") == 0
    assert run(NOWHERE, "--collect", "results.jsonl") == 0
    assert len({line["key"] for line in lines()}) == len(lines()) == 80
    assert run(NOWHERE, "--batch-file", "none.jsonl") == 0
    assert not Path("none.jsonl").exists()


def test_results_of_other_requests_only_are_no_answers(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(NOWHERE, "--batch-file", "requests.jsonl")
    _write("results.jsonl", _results(answers, _read("requests.jsonl")))
    assert run(NOWHERE, "--collect", "results.jsonl", "--max-tokens", "7") == 1
    assert "80 missing, 0 repeated, 80 of other requests" in capsys.readouterr().err
    assert lines() == []


def test_an_answer_counts_before_an_error_of_the_same_request(answers: dict[str, str]) -> None:
    run(NOWHERE, "--batch-file", "requests.jsonl", "--limit", "1")
    results = _results(answers, _read("requests.jsonl"))
    _write("results.jsonl", [_error(results[0], 500, "again"), *results])
    _write("errors.jsonl", [_error(results[1], 500, "again")])
    assert run(NOWHERE, "--limit", "1", "--collect", "results.jsonl", "--errors", "errors.jsonl") == 0


def test_a_batch_is_split_where_the_provider_accepts_no_more(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "_MOST_REQUESTS", 30)
    assert run(NOWHERE, "--batch-file", "requests.jsonl") == 0
    parts = ["requests.jsonl", "requests-2.jsonl", "requests-3.jsonl"]
    assert capsys.readouterr().out.split() == [parts[0], "30", parts[1], "30", parts[2], "20"]
    assert len({request["custom_id"] for part in parts for request in _read(part)}) == 80
    monkeypatch.setattr(batch, "_MOST_BYTES", 5_000)
    run(NOWHERE, "--batch-file", "small.jsonl", "--limit", "5")
    assert all(0 < path.stat().st_size <= 5_000 for path in Path().glob("small*"))
    assert sum(len(_read(str(path))) for path in Path().glob("small*")) == 10


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"{", "results.jsonl: line 1 "),
        (b"\n[]\n", "results.jsonl: line 2 "),
        (b"\xff\n", "results.jsonl: line 1 "),
        (b'{"custom_id": 1}\n"x"\n', "results.jsonl: line 2 "),
        (b'{"custom_id": 1}\n{"custom_id": \n', "results.jsonl: line 2 "),
        (None, "results.jsonl"),
    ],
)
def test_results_that_cannot_be_read_are_one_sentence(
    content: bytes | None, named: str, answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("results.jsonl").write_bytes(content)
    assert run(NOWHERE, "--collect", "results.jsonl") == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert lines() == []

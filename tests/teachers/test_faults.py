"""A server that fails in every way: what may pass is tried again, the rest ends the run with one sentence."""

import threading
import time
from pathlib import Path

import pytest
from annotation import STORE, keys, lines, reasons, run
from teacher_server import KEY, TeacherServer

from cot_distill_datasets.teachers import client, sender


PASSING = (
    "429",
    "429-after",
    "500",
    "503-after",
    "drop",
    "cut",
    "half",
    "html",
    "empty",
    "null",
    "list",
    "text",
    "message",
)
FAULTS = [*PASSING, None, "length", None, "refuse", "408", "502", None, "hang", None]


@pytest.mark.usefixtures("quick")
def test_nothing_is_lost_doubled_or_wrong_through_every_fault(answers: dict[str, str]) -> None:
    with TeacherServer(answers, FAULTS * 4) as server:
        assert run(server.url, "--timeout", "1", "--concurrency", "8", "--no-gate") == 1
        counts = reasons()
        assert counts["kept"] >= 72 and set(counts) == {"kept", "truncated", "refused"}
        assert len(set(keys())) == len(lines()) == 80
        assert run(server.url, "--retry-failed") == 0
    assert reasons()["kept"] == 80
    for line in lines():
        whole = answers[line["question"]]
        assert line["text"] == (whole if line["finish_reason"] == "stop" and not line["refusal"] else line["text"])
    assert len(set(keys())) == 80


@pytest.mark.usefixtures("quick")
def test_nothing_is_sent_before_the_time_of_retry_after(answers: dict[str, str]) -> None:
    faults = [*[None] * 16, *[None] * 10, "429-after"]
    with TeacherServer(answers, faults) as server:
        assert run(server.url, "--concurrency", "1") == 0
    moments = sorted(server.moments)
    (index,) = (number for number, (_, status) in enumerate(moments) if status == 429)
    assert moments[index + 1][0] - moments[index][0] >= 0.3


@pytest.mark.usefixtures("quick")
def test_a_retry_after_that_is_a_date_is_obeyed(answers: dict[str, str]) -> None:
    with TeacherServer(answers, ["429-date"]) as server:
        assert run(server.url, "--concurrency", "1", "--limit", "2") == 0
    (first, _), (second, _) = sorted(server.moments)[:2]
    assert 1 <= second - first < 4  # a date has whole seconds


@pytest.mark.usefixtures("quick")
def test_the_concurrency_adapts_to_a_server_that_takes_few_requests_at_once(answers: dict[str, str]) -> None:
    with TeacherServer(answers, most=4, latency=0.01) as server:
        assert run(server.url, "--concurrency", "16", "--no-gate", "--samples", "2") == 0
    rejected = [status for _, status in sorted(server.moments) if status == 429]
    assert len(set(keys())) == len(lines()) == 160
    assert server.most_in_flight > 4
    assert len(rejected) < 80  # about 30; about 150 if the number in flight stays


@pytest.mark.usefixtures("quick")
def test_a_server_that_dies_for_a_while_loses_nothing(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_LONGEST_WAIT", 1.0)
    with TeacherServer(answers, latency=0.02) as server:
        timers = [threading.Timer(0.4, setattr, (server, "is_down", True))]
        timers.append(threading.Timer(2.4, setattr, (server, "is_down", False)))
        for timer in timers:
            timer.start()
        begin = time.monotonic()
        assert run(server.url, "--concurrency", "4") == 0
        assert time.monotonic() - begin > 2
    assert len(set(keys())) == len(lines()) == 80


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", ["500", "drop", "half", "html", "429-long"])
def test_a_server_that_fails_for_good_ends_the_run_and_a_rerun_completes_it(
    fault: str, answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, [*[None] * 30, *[fault] * 1000]) as server:
        assert run(server.url, "--concurrency", "4") == 1
        assert capsys.readouterr().err.count("stopped: ") == 1
        assert len(lines()) == 30
        server.faults = iter(())
        assert run(server.url) == 0
    assert len(set(keys())) == len(lines()) == 80


@pytest.mark.usefixtures("quick")
def test_one_request_that_always_fails_does_not_stop_the_others(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, latency=0.01, broken=next(iter(answers))) as server:
        assert run(server.url, "--concurrency", "4") == 1
    assert len(lines()) == 78
    assert "not done: 2 without an answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("401", "OPENAI_API_KEY"),
        ("403", "error 403"),
        ("429-quota", "OPENAI_API_KEY"),
        ("400", "you must provide a chat template"),
        ("404", "404"),
    ],
)
def test_what_no_request_can_pass_is_one_sentence_with_exit_code_2(
    fault: str, named: str, answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, [fault] * 1000) as server:
        assert run(server.url) == 2
    error = capsys.readouterr().err
    assert named in error and error.splitlines()[-1].startswith("cot-distill: ") and "Traceback" not in error
    assert len(server.requests) <= 16 and not STORE.exists()


@pytest.mark.usefixtures("quick")
def test_a_model_without_a_chat_template_is_named_without_the_gate_too(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, ["400"] * 1000) as server:
        assert run(server.url, "--no-gate") == 2
    assert "you must provide a chat template" in capsys.readouterr().err


def test_an_unknown_model_is_answered_with_the_nearest(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--model", "reply") == 2
    assert "'reply': use `replay`" in capsys.readouterr().err


def test_no_server_is_one_sentence(answers: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("http://127.0.0.1:9/v1") == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9/v1" in error and error.count("\n") == 1
    assert not Path("annotations").exists()


def test_a_server_that_says_nothing_ends_the_run(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "_START_SECONDS", 0.2)
    with TeacherServer(answers, is_silent=True) as server:
        assert run(server.url) == 2
    assert server.url in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("quick")
def test_the_api_key_is_sent_and_appears_nowhere(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    leaking = {question: f"{text} {KEY}" for question, text in list(answers.items())[:5]}
    with TeacherServer(answers | leaking, [None, "500", "400", "half", "html"] * 5, key=KEY) as server:
        assert run(server.url, "--no-gate") == 1
        assert run(server.url.replace("://", f"://user:{KEY}@")) == 2  # sent instead of the environment's
        monkeypatch.setenv("OPENAI_API_KEY", KEY[:-1])
        assert run(server.url, "--samples", "2") == 2  # the server says the right key
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\u20ac")
        assert run(server.url, "--samples", "2") == 2
    assert len(lines()) >= 70
    written = b"".join(path.read_bytes() for path in Path().rglob("*") if path.is_file())
    captured = capfd.readouterr()
    for text in (written, captured.out.encode(), captured.err.encode()):
        assert KEY[:-1].encode() not in text
    assert STORE.is_dir()

"""The store survives kills, torn lines, a full disk and a second writer: no answer is lost or doubled."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from annotation import STORE, arguments, keys, lines, run
from support import CommandForks, run_on_full_disk
from teacher_server import TeacherServer

from cot_distill_datasets.teachers.store import open_store


class Forks(CommandForks):
    """`cot-distill annotate`, started in a fork of a process that has imported it."""

    CODE = CommandForks.CODE.replace("reports import publish_student", "teachers import annotate")


def _facts(store: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of a store by key, without what a clock measured."""
    return {line["key"]: line | {"seconds": 0} for line in lines(store)}


@pytest.mark.parametrize("cut", [1, 30, 10**6])
def test_a_torn_last_line_is_removed_and_its_request_sent_again(cut: int, answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        run(server.url)
        path = STORE / "answers.jsonl"
        whole, before = path.read_bytes(), _facts(STORE)
        last = len(whole.splitlines(keepends=True)[-1])
        path.write_bytes(whole[: -min(cut, last - 1)])
        server.requests.clear()
        assert run(server.url) == 0
    assert len(server.requests) == 1 and len(lines()) == 80
    assert _facts(STORE) == before


def test_a_damaged_line_is_named(answers: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with TeacherServer(answers) as server:
        run(server.url)
        path = STORE / "answers.jsonl"
        whole = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*whole[:4], "\x00" * 50 + "\n", *whole[5:]]))
        assert run(server.url) == 2
        assert "line 5" in capsys.readouterr().err
        path.write_text("".join([*whole[:4], *whole[5:]]))
        assert run(server.url) == 0
    assert len(set(keys())) == len(lines()) == 80


def test_a_store_has_one_writer(answers: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with TeacherServer(answers) as server:
        with open_store(STORE):
            assert run(server.url) == 2
        assert str(STORE) in capsys.readouterr().err and server.requests == []
        assert run(server.url) == 0


@pytest.mark.slow
def test_of_two_commands_at_once_one_is_rejected_and_nothing_is_doubled(answers: dict[str, str]) -> None:
    more = ["--concurrency", "4"]
    with (
        TeacherServer(answers, latency=0.1) as server,
        Forks(dict(os.environ), *arguments(server.url, *more)) as forks,
    ):
        forks.start()
        while not server.requests:
            time.sleep(0.01)
        assert run(server.url) == 2
        assert len(server.requests) < 80
        assert os.waitstatus_to_exitcode(forks.wait()) == 0
    assert len(set(keys())) == len(lines()) == len(server.requests) == 80


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_the_answers_of_an_undisturbed_run(answers: dict[str, str]) -> None:
    generator = random.Random(0)
    levels = ["--granularity", *(f"l{level}" for level in range(1, 7)), "--temperature", "0", "--concurrency", "4"]
    with TeacherServer(answers, latency=0.08) as server:
        run(server.url, *levels, "--annotations", "undisturbed", "--concurrency", "64")
        path, kills = STORE / "answers.jsonl", 0
        with Forks(dict(os.environ), *arguments(server.url, *levels)) as forks:
            for _ in range(20):
                child = forks.start()
                time.sleep(generator.uniform(0.1, 0.5))
                os.kill(child, signal.SIGKILL)
                kills += forks.wait() == signal.SIGKILL
                whole = path.read_bytes() if path.exists() else b""
                last = whole.rpartition(b"\n")[2] or whole[whole[:-1].rfind(b"\n") + 1 :]
                os.truncate(path, len(whole) - generator.randrange(len(last) or 1)) if whole else None
            forks.start()
            assert forks.wait() == 0
    assert kills == 20  # none was complete before
    assert len(set(keys())) == len(lines()) == 240
    assert _facts(STORE) == _facts(Path("undisturbed/replay"))


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_answers(answers: dict[str, str]) -> None:
    with TeacherServer(answers, latency=0.1) as server:
        with Forks(dict(os.environ), *arguments(server.url, "--concurrency", "4")) as forks:
            child = forks.start()
            while len(server.requests) < 30:
                time.sleep(0.01)
            os.kill(child, signal.SIGINT)
            assert os.waitstatus_to_exitcode(forks.wait()) == 130
        kept = keys()
        assert 20 <= len(kept) < 80
        assert run(server.url) == 0
    assert keys()[: len(kept)] == kept and len(set(keys())) == len(lines()) == 80


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_whole_lines(answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        command = ["-m", "cot_distill_datasets.cli", *arguments(server.url)]
        ended = run_on_full_disk(*command, limit=20_000)
        assert ended.returncode == 1 and "answers.jsonl" in ended.stderr and "Traceback" not in ended.stderr
        text = (STORE / "answers.jsonl").read_text()
        assert text.endswith("\n") and 10 < len([json.loads(line) for line in text.splitlines()]) < 80
        assert run(server.url) == 0
    assert len(set(keys())) == len(lines()) == 80

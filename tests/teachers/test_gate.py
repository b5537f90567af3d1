"""The first answers: too many unusable ones stop the run, with the reasons; the limit of the cost is never passed."""

import pytest
from annotation import count_judgments, keys, lines, reasons, run
from teacher_server import TeacherServer


def _reasons_in(error: str) -> str:
    return error.strip().splitlines()[-1]


@pytest.mark.parametrize(("bad", "code", "asked"), [(2, 1, 80), (3, 2, 16)])
def test_the_run_goes_on_if_14_of_16_answers_are_usable(
    bad: int, code: int, asked: int, answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, ["length"] * bad) as server:
        assert run(server.url) == code
        assert len(server.requests) == asked
        assert ("3 truncated" in _reasons_in(capsys.readouterr().err)) == (bad == 3)
        assert run(server.url) == code
        assert len(server.requests) == asked  # the same 16 answers are judged, not asked again
        assert run(server.url, "--no-gate") == 1
    assert len(server.requests) == len(lines()) == 80


def test_an_answer_is_judged_once_when_it_arrives_and_once_for_the_table(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = count_judgments(monkeypatch)
    with TeacherServer(answers) as server:
        assert run(server.url) == 0
        assert judged == dict.fromkeys(keys(), 2)
        judged.clear()
        assert run(server.url, "--retry-failed") == 0  # also to find those that are not kept
    assert judged == dict.fromkeys(keys(), 2)


def test_the_gate_asks_different_questions_of_every_level(answers: dict[str, str]) -> None:
    with TeacherServer(answers, ["refuse"] * 16) as server:
        assert run(server.url, "--samples", "2") == 2
    assert len({line["id"] for line in lines()}) == 16
    assert [line["config"] for line in lines()].count("replay-l1-arith") == 8


def test_correct_answers_are_counted_but_not_required(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(dict.fromkeys(answers, "It is 12345.\nThe answer is 12345")) as server:
        assert run(server.url) == 1
    assert "0 of 16 are correct" in capsys.readouterr().err
    assert reasons() == {"wrong": 80}


def test_answers_without_the_shape_of_the_format_are_unusable(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--format", "l2m") == 2
    assert "16 without the shape of the format `l2m`" in _reasons_in(capsys.readouterr().err)


def test_answers_without_a_conclusion_are_unusable(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(dict.fromkeys(answers, "Let us think about it.")) as server:
        assert run(server.url) == 2
    assert len(server.requests) == 16
    assert "16 unreadable" in _reasons_in(capsys.readouterr().err)


def test_the_gate_is_passed_after_failed_answers_were_asked_again(answers: dict[str, str]) -> None:
    with TeacherServer(answers, ["length"] * 16) as server:
        assert run(server.url) == 2
        assert run(server.url, "--retry-failed") == 0
    assert reasons()["kept"] == 80


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize("faults", [[], ["cut", "half", "429", "500"] * 3])
@pytest.mark.usefixtures("quick")
def test_the_run_stops_before_its_cost_passes_the_limit(
    concurrency: str, faults: list[str], answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a price of 1 per token, the server counts what was paid: also for answers that were lost on the way."""
    price, limit = ["--price", "1000000,1000000"], 40_000
    with TeacherServer(answers, [None, None, *faults], latency=0.02) as server:
        more = [*price, "--max-tokens", "50", "--concurrency", concurrency]
        assert run(server.url, *more, "--max-cost", str(limit)) == 1
        assert "--max-cost 40000" in capsys.readouterr().err
        paid = server.tokens.total()
        assert paid <= limit
        assert 0 < len(lines()) < 80
        if not faults:
            assert paid > limit - 2000  # what the next request may cost: a token has at least one byte
            assert run(server.url, *more, "--max-cost", str(limit)) == 1
            assert server.tokens.total() == paid
        assert run(server.url, *more) == 0
    assert len(lines()) == 80


def test_nothing_is_sent_if_the_first_request_may_cost_too_much(answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--price", "1,1", "--max-cost", "0.0001") == 1
    assert server.requests == [] and lines() == []


def test_a_server_without_token_counts_cannot_keep_a_limit(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers, ["usage"] * 100) as server:
        assert run(server.url, "--price", "1,1", "--max-cost", "9", "--no-gate") == 2
        assert "--max-cost" in capsys.readouterr().err
        assert run(server.url) == 0
    assert lines()[0]["prompt_tokens"] is None

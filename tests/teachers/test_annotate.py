"""`cot-distill annotate`: what it asks, what it stores, and that a rerun asks only for what is missing."""

import json
import re
import sys
from pathlib import Path

import pytest
from annotation import STORE, keys, lines, reasons, run
from teacher_server import MODEL, TeacherServer

from cot_distill_datasets.cli import main
from cot_distill_datasets.teachers.requests import Question


def test_every_question_is_answered_at_every_level_and_sample(
    questions: list[Question], answers: dict[str, str]
) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--samples", "2") == 0
    assert len(set(keys())) == len(lines()) == len(server.requests) == 40 * 2 * 2
    golds = {item.question: item.gold for item in questions}
    assert all(line["gold"] == golds[line["question"]] for line in lines())
    line = next(line for line in lines() if line["sample"] == 1)
    config = line["config"]
    assert config in ("replay-l1-arith", "replay-l3-arith")
    assert (line["model"], line["finish_reason"], line["refusal"]) == (MODEL, "stop", None)
    assert line["parameters"] == {"max_tokens": 1024, "temperature": 0.7}
    assert line["text"] == answers[line["question"]] and line["gold_in_prompt"] is True
    assert line["prompt_tokens"] > 100 and line["output_tokens"] == len(line["text"].split())
    prompt = json.loads((STORE / "prompts" / f"{line['prompt_hash']}.json").read_text())
    sent = [
        *prompt[:-1],
        {"role": "user", "content": f"Question: {line['question']}\n\nCorrect answer: {line['gold']}"},
    ]
    assert sent in [request["messages"] for request in server.requests]


def test_the_teacher_finds_the_answer_itself_without_the_gold(answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--no-gold", "--limit", "3") == 0
    assert [line["gold_in_prompt"] for line in lines()] == [False] * 6
    assert not any("Correct answer" in request["messages"][-1]["content"] for request in server.requests)


def test_a_rerun_asks_only_for_what_is_missing(answers: dict[str, str]) -> None:
    path = STORE / "answers.jsonl"
    with TeacherServer(answers) as server:
        run(server.url)
        whole = path.read_text().splitlines(keepends=True)
        path.write_text("".join(whole[5:-7]) + whole[-1][:40])  # a kill tore the last line
        server.requests.clear()
        assert run(server.url) == 0
        assert len(server.requests) == 12
        server.requests.clear()
        assert run(server.url) == 0
        assert server.requests == []
    assert sorted(keys()) == sorted(json.loads(line)["key"] for line in whole)


@pytest.mark.parametrize("change", [["--max-tokens", "99"], ["--temperature", "0"], ["--no-gold"], ["--samples", "2"]])
def test_another_request_has_another_key(change: list[str], answers: dict[str, str]) -> None:
    with TeacherServer(answers) as server:
        run(server.url, "--limit", "4")
        run(server.url, "--limit", "4", *change)
    assert len(set(keys())) == len(server.requests) == 16


def test_the_server_and_how_it_is_asked_do_not_change_a_key(answers: dict[str, str]) -> None:
    for more in ([], ["--concurrency", "3", "--no-gate", "--price", "1,2", "--timeout", "9"]):
        with TeacherServer(answers) as server:
            assert run(server.url, *more) == 0
    assert server.requests == []


def test_further_fields_are_sent_and_null_removes_one(answers: dict[str, str]) -> None:
    body = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": None, "max_completion_tokens": 77}
    with TeacherServer(answers) as server:
        run(server.url, "--limit", "1", "--extra-body", json.dumps(body))
    sent = server.requests[0]
    assert sent["chat_template_kwargs"] == {"enable_thinking": False} and sent["max_completion_tokens"] == 77
    assert "max_tokens" not in sent


def test_failed_answers_are_not_done_and_are_asked_again_on_request(answers: dict[str, str]) -> None:
    faults = ["length", "refuse", *[None] * 16, "refuse"]
    with TeacherServer(answers, faults) as server:
        assert run(server.url) == 1
        assert reasons() == {"kept": 77, "truncated": 1, "refused": 2}
        assert run(server.url) == 1
        assert len(server.requests) == 80
        assert run(server.url, "--retry-failed") == 0
    assert len(server.requests) == len(lines()) == 83
    assert len(set(keys())) == 80


def test_a_wrong_answer_is_stored_as_wrong(answers: dict[str, str]) -> None:
    wrong = dict.fromkeys(answers, "It is 12345.\nThe answer is 12345")
    with TeacherServer(answers | dict(list(wrong.items())[:10])) as server:
        assert run(server.url) == 1
    assert reasons() == {"kept": 60, "wrong": 20}


def test_the_dry_run_shows_the_first_request_and_sends_nothing(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, "--dry-run", "--price", "1,2", "--max-tokens", "100") == 0
        assert server.requests == [] and not STORE.exists()
        output = capsys.readouterr().out
        run(server.url, "--max-tokens", "100")
        assert json.JSONDecoder().raw_decode(output)[0] == server.requests[0]
        l1, l3 = (row.split("\t") for row in output.splitlines()[-2:])
        assert (l1[0], l1[1], l1[3]) == ("replay-l1-arith", "40", "at most 4000")
        prompt_tokens = int(l1[2].removeprefix("about "))
        assert float(l1[4].removeprefix("at most ")) == pytest.approx((prompt_tokens + 2 * 4000) / 1e6, abs=1e-3)
        capsys.readouterr()
        run(server.url, "--dry-run", "--price", "1,2", "--max-tokens", "100", "--samples", "2")
    _, l3 = (row.split("\t") for row in capsys.readouterr().out.splitlines()[-2:])
    assert l3[:2] == ["replay-l3-arith", "40"]  # one sample is in the store
    words = sum(line["output_tokens"] for line in lines() if line["config"] == "replay-l3-arith")
    assert l3[3] == f"about {words}"


def test_status_counts_by_reason_and_shows_no_control_characters(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b[31m\x9b2J It\r is\u202e 1.\x00\nThe answer is 1"
    with TeacherServer(dict.fromkeys(answers, hostile)) as server:
        run(server.url, "--limit", "1")
    capsys.readouterr()
    assert run_status("--show", "wrong") == 0
    output = capsys.readouterr().out
    shown = [line for line in output.splitlines() if line.startswith("wrong\t")]
    for level in (1, 3):  # answers, kept, wrong
        assert re.search(rf"^\| replay-l{level}-arith +\| +1 \| +0 \| +1 \|", output, re.MULTILINE)
    assert len(shown) == 2 and all(line.replace("\t", "").isprintable() for line in shown)
    assert lines()[0]["text"] == hostile


def run_status(*more: str) -> int:
    return main(["annotate", "status", "--teacher", "replay", *more])


def test_status_of_an_unknown_teacher_names_the_nearest(
    answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("annotations/replay").mkdir(parents=True)
    Path("annotations/replay/answers.jsonl").touch()
    assert main(["annotate", "status", "--teacher", "replya"]) == 2
    assert "`replay`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--teacher", "gpt4o"], "gpt4o"),
        (["--teacher", "Qwen"], "Qwen"),
        (["--benchmark", "gsm8k"], "`arith`"),
        (["--benchmark", "arit"], "`arith`"),
        (["--granularity", "l7"], "`l6`"),
        (["--format", "l2n"], "`l2m`"),
        (["--samples", "2", "--temperature", "0"], "temperature 0"),
        (["--release", "nowhere"], "nowhere"),
        (["--errors", "errors.jsonl"], "--collect"),
        (["--base-url", "localhost:8000"], "localhost:8000"),
        (["--max-cost", "1"], "--price"),
        (["--max-cost", "1", "--price", "1,1", "--extra-body", '{"max_tokens": null}'], "--max-tokens"),
    ],
)
def test_input_that_cannot_be_used_is_one_sentence(
    more: list[str], named: str, answers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with TeacherServer(answers) as server:
        assert run(server.url, *more) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert server.requests == []


@pytest.mark.parametrize(
    "more",
    [
        ["--price", "1"], ["--price", "a,b"], ["--price", "-1,2"], ["--max-cost", "nan"], ["--temperature", "-1"],
        ["--timeout", "inf"], ["--concurrency", "0"], ["--extra-body", "[]"], ["--extra-body", '{"model": "x"}'],
        ["--extra-body", "{"], ["--extra-body", '{"top_p": NaN}'], ["--collect", "x", "--dry-run"],
    ],
)  # fmt: skip
def test_a_wrong_value_is_rejected_by_name(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run("http://127.0.0.1:1", *more)
    assert raised.value.code == 2
    assert more[0] in capsys.readouterr().err


def test_teacher_model_and_benchmark_are_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--teacher", "replay"]) == 2
    error = capsys.readouterr().err
    assert "`--model`" in error and "`--benchmark`" in error and "`--teacher`" not in error


def test_the_missing_client_is_one_sentence_with_its_extra(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("annotate", "sender", "client"):
        monkeypatch.delitem(sys.modules, f"cot_distill_datasets.teachers.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    assert run("http://127.0.0.1:9/v1") == 2
    assert "pip install 'cot-distill[annotate]'" in capsys.readouterr().err
    assert run("http://127.0.0.1:9/v1", "--dry-run") == 0

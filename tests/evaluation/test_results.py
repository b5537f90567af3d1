"""Scores read from lm-eval's files, including those of the bare `lm_eval` command."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from support import make_provenance

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation.compare import compare
from cot_distill_datasets.evaluation.results import Student, read_scores, score_samples
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate
from cot_distill_datasets.evaluation.scores import Score


BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def evaluated(project_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained demo student with results of `cot-distill evaluate`."""
    folder = tmp_path_factory.mktemp("evaluated") / "student"
    shutil.copytree(project_dir / "runs/demo/untrained", folder)
    evaluate(Student.open(folder), ["cot_arith"], EvaluationConfig(backend="hf", limit=3))
    return folder


@pytest.fixture
def student(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of the student and its results, for a test to change."""
    return Path(shutil.copytree(evaluated, tmp_path / "student"))


def _read(student: Path) -> list[Score]:
    return read_scores(Student.open(student))


def _change_samples(student: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """Apply `change` to every sample of the one samples file, and return its path."""
    (path,) = student.rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    for sample in samples:
        change(sample)
    text = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    path.write_bytes(text.encode(errors="backslashreplace"))  # a lone surrogate as JSON's escape
    return path


def test_a_score_counts_the_samples() -> None:
    doc = {"id": "arith-1", "prompt": [{"role": "user", "content": "2 + 2?"}], "answer": "4"}
    strict = [
        {"exact_match": 1, "no_answer": 0, "finish_reason": "stop", "output_tokens": 10, "timed_out": 0},
        {"exact_match": 0, "no_answer": 1, "finish_reason": "length", "output_tokens": 30, "timed_out": 0},
        {"exact_match": 0, "no_answer": 0, "finish_reason": "stop", "output_tokens": 20, "timed_out": 1},
    ]
    shared = {"doc": doc, "resps": [["The answer is 4"]]}
    samples = [shared | sample | {"filter": "strict-match", "doc_id": n} for n, sample in enumerate(strict)]
    samples += [sample | {"filter": "flexible-extract", "exact_match": 1} for sample in samples]
    command = ["cot-distill", "evaluate", "/moved/from/here", "--tasks", "cot_arith"]
    result = {"versions": {"cot_arith": 1.0}, "config": {"limit": 3.0}, "cot_distill": {"command": command}}
    result["n-samples"] = {"cot_arith": {"original": 500, "effective": 3}}
    score = score_samples(Path("runs/my student"), "cot_arith", result, samples, estimated=False)
    assert (score.n, score.correct, score.flexible_correct, score.no_answer, score.timed_out) == (3, 1, 3, 1, 1)
    assert (score.accuracy, score.flexible_accuracy, score.limit) == (1 / 3, 1, 3)
    assert (score.truncated, score.finished_accuracy, score.mean_output_tokens) == (1, 0.5, 20.0)
    assert score.command == "cot-distill evaluate 'runs/my student' --tasks cot_arith --limit 3"
    bare = {
        "model": "hf",
        "model_args": {"pretrained": "/moved/é", "dtype": "float32"},
        "batch_size": 8,
        "limit": None,
    }
    of_lm_eval = {name: value for name, value in result.items() if name != "cot_distill"} | {"config": bare}
    score = score_samples(Path("runs/é"), "cot_arith", of_lm_eval, samples, estimated=True)
    assert score.command == (
        """lm_eval --tasks cot_arith --model hf --model_args '{"pretrained": "runs/é", "dtype": "float32"}' """
        "--batch_size 8 --apply_chat_template"
    )


@pytest.mark.slow
def test_results_of_the_bare_command_are_estimated(student: Path) -> None:
    (recorded,) = _read(student)
    ours = (student / "results").rename(student / "ours")
    command = f"lm_eval --tasks cot_arith --model hf --model_args pretrained={student},dtype=float32 --limit 3 "
    command += f"--device cpu --batch_size 3 --apply_chat_template --log_samples --output_path {student}/results"
    subprocess.run(command.split(), executable=BIN / "lm_eval", check=True, capture_output=True)
    (bare,) = _read(student)
    assert not recorded.estimated and bare.estimated
    assert (bare.n, bare.correct, bare.answer) == (recorded.n, recorded.correct, recorded.answer)
    assert bare.mean_output_tokens == pytest.approx(recorded.mean_output_tokens, rel=0.05)
    assert bare.truncated == recorded.truncated == 3  # an untrained student never writes the EOS token
    arguments = json.dumps({"pretrained": str(student), "dtype": "float32"})
    assert bare.command == (
        f"lm_eval --tasks cot_arith --model hf --model_args '{arguments}' --batch_size 3 --apply_chat_template "
        "--limit 3"
    )
    (comparison,) = compare(ours, student / "results", margin=0.03)
    assert (comparison.filter, comparison.questions) == ("strict-match", 3)
    assert (comparison.flips, comparison.different_settings) == ([], {})


def test_a_short_answer_of_the_bare_command_counts_as_finished(student: Path) -> None:
    def shorten(sample: dict[str, object]) -> None:
        del sample["finish_reason"], sample["output_tokens"]
        sample["resps"] = [["The answer is 4"]]

    _change_samples(student, shorten)
    (score,) = _read(student)
    assert (score.estimated, score.truncated) == (True, 0)
    assert 3 <= score.mean_output_tokens <= 10


@pytest.mark.parametrize(
    "changed",
    [
        {"n-shot": {"cot_arith": 5}},
        {"system_instruction": "Be brief."},
        {"config": {"gen_kwargs": {"temperature": 1}}},
    ],
)
def test_results_that_are_not_zero_shot_and_greedy_are_rejected(changed: dict[str, object], student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | changed))
    with pytest.raises(CotDistillError, match=rf"{path.name} .* zero-shot and greedy"):
        _read(student)


def _results(student: Path) -> Path:
    (path,) = student.rglob("results_*.json")
    return path


def _content(content: bytes) -> Callable[[Path], Path]:
    def change(student: Path) -> Path:
        path = _results(student)
        path.write_bytes(content or path.read_bytes()[:100])
        return path

    return change


def _entry(**changes: object) -> Callable[[Path], Path]:
    """Return a change of what `cot-distill evaluate` recorded; without one, it is deleted."""

    def change(student: Path) -> Path:
        path = _results(student)
        result = json.loads(path.read_text())
        del result["cot_distill"]
        path.write_text(json.dumps(result | changes))
        return path

    return change


def _fifo(pattern: str) -> Callable[[Path], Path]:
    def change(student: Path) -> Path:
        (path,) = student.rglob(pattern)
        path.unlink()
        os.mkfifo(path)
        return path

    return change


def _sample(**values: object) -> Callable[[Path], Path]:
    return lambda student: _change_samples(student, lambda sample: sample.update(values))


def _doc(**values: object) -> Callable[[Path], Path]:
    return lambda student: _change_samples(student, lambda sample: sample.update(doc=sample["doc"] | values))


def _lines_lost(student: Path) -> Path:
    (path,) = student.rglob("samples_*.jsonl")
    path.write_text(path.read_text().split("\n")[0] + "\n")
    return path


DAMAGES = {
    "cut": _content(b""),
    "empty": _content(b" "),
    "null": _content(b"null"),
    "list": _content(b"[]"),
    "deep": _content(b"[" * 10**5),
    "UTF-16": _content('{"results": {}}'.encode("utf-16")),
    "lists for objects": _content(b'{"results": [], "versions": [], "config": [], "n-shot": [], "n-samples": []}'),
    "no entry": _entry(),
    "null entry": _entry(cot_distill=None),
    "empty entry": _entry(cot_distill={}),
    "entry of another shape": _entry(cot_distill={"settings": [], "command": "x"}),
    "command of numbers": _entry(cot_distill={"settings": {"student_sha256": "x"}, "command": [1]}),
    "results are a FIFO": _fifo("results_*.json"),
    "samples are a FIFO": _fifo("samples_*.jsonl"),
    "tokenizer is a FIFO": _fifo("tokenizer.json"),
    "samples lost": _lines_lost,
    "1000 right": _sample(exact_match=1000),
    "-3 right": _sample(exact_match=-3),
    "infinitely many right": _sample(exact_match=float("inf")),
    "NaN right": _sample(exact_match=float("nan")),
    "half right": _sample(no_answer=0.5),
    "too many tokens": _sample(output_tokens=10**400),
    "unknown end": _sample(finish_reason="cut"),
    "answer is a number": _sample(resps=[[4]]),
    "surrogate in the answer": _sample(resps=[["\ud800"]]),
    "surrogate in the gold": _doc(answer="\ud800"),
    "gold is a number": _doc(answer=4),
    "surrogate in the prompt": _doc(prompt=[{"role": "user", "content": "\ud800"}]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_broken_results_are_named_by_report_and_card_and_nothing_is_written(
    name: str, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = sha256((student / "chat_template.jinja").read_bytes()).hexdigest()
    make_provenance(chat_template_sha256=template, base_is_on_hub=False).write(student)
    path = DAMAGES[name](student)
    named = "results_" if name == "samples are a FIFO" else path.name
    for command in (["report", str(student), "--out", str(tmp_path / "out")], ["card", str(student)]):
        assert main(command) == 2
        message = capsys.readouterr().err
        assert named in message and len(message) < 1000
    assert not (tmp_path / "out").exists() and not (student / "README.md").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["cut", "null", "list", "UTF-16", "no entry", "null entry", "samples are a FIFO", "NaN right", "template"]
)
def test_evaluate_names_broken_results_and_evaluates_the_task_again(
    name: str, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (expected,) = _read(student)
    other_template = _results(student).read_text().replace('"chat_template_sha": "', '"chat_template_sha": "0')
    (DAMAGES | {"template": _content(other_template.encode())})[name](student)
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "3"]) == 0
    assert ("evaluated again" in capsys.readouterr().err) == (name != "no entry")
    (score,) = _read(student)
    assert replace(score, command=expected.command) == expected  # of a student in another folder


@pytest.mark.parametrize("content", ["", "[1, 2]\n", "{}\n", '{"filter": "strict-match"'])
def test_broken_samples_are_rejected_with_their_file(content: str, student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    samples.write_text(content)
    with pytest.raises(CotDistillError, match=samples.name):
        _read(student)


def test_a_sample_without_exact_match_is_an_error_not_a_score_of_zero(student: Path) -> None:
    samples = _change_samples(student, lambda sample: sample.pop("exact_match"))
    with pytest.raises(CotDistillError, match=rf"{samples.name} \(KeyError\('exact_match'\)\)"):
        _read(student)


def test_an_answer_may_contain_any_line_separator(student: Path) -> None:
    _change_samples(student, lambda sample: sample.update(resps=[["a\u2028b\x85c"]]))
    (score,) = _read(student)
    assert score.answer == "a\u2028b\x85c"


def test_the_code_of_a_student_is_neither_run_nor_asked_about(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(student, tmp_path / "own"))
    config = json.loads((copy / "tokenizer_config.json").read_text())
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (copy / "tokenizer_config.json").write_text(json.dumps(config | own))
    (copy / "own.py").write_text("open('executed', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with suppress(CotDistillError):  # or the files are enough without the class
        Student.open(copy)
    assert not Path("executed").exists()


def test_results_of_a_different_chat_template_are_rejected(student: Path) -> None:
    template = student / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(CotDistillError, match=r"results_.*\.json .* chat template"):
        _read(student)


def test_results_of_different_weights_are_rejected(student: Path) -> None:
    path = student / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "changed"}))
    with pytest.raises(CotDistillError, match=r"results_.*\.json .* weights"):
        _read(student)


def test_results_without_samples_are_rejected(student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    samples.unlink()
    with pytest.raises(CotDistillError, match=r"results_.*\.json .*`--log_samples`"):
        _read(student)


def test_a_truncated_results_file_is_rejected_with_its_name(student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(CotDistillError, match=path.name):
        _read(student)


def test_a_student_without_results_is_rejected_with_the_command_to_run(student: Path) -> None:
    shutil.rmtree(student / "results")
    with pytest.raises(CotDistillError, match=f"`cot-distill evaluate {student}`"):
        _read(student)


def test_the_newest_result_of_a_task_is_used_and_unknown_tasks_are_ignored(student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    older = json.loads(path.read_text())
    older["results"]["hellaswag"] = {}
    samples = path.with_name(path.name.replace("results", "samples_cot_arith")).with_suffix(".jsonl")
    lines = [json.loads(line) | {"resps": [["an older answer"]]} for line in samples.read_text().split("\n")[:-1]]
    old_samples = path.with_name("samples_cot_arith_2020-01-01T00-00-00.jsonl")
    old_samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.with_name("results_2020-01-01T00-00-00.json").write_text(json.dumps(older))
    (score,) = _read(student)
    assert (score.task, score.n) == ("cot_arith", 3) and score.answer != "an older answer"

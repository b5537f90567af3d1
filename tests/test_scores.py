"""Scores as they are read from lm-eval's files, those of the bare command among them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.scores import read_scores, score_of


BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def evaluated(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained demo student with the results of our command."""
    folder = tmp_path_factory.mktemp("evaluated") / "student"
    shutil.copytree(workplace / "runs/demo/untrained", folder)
    evaluate(folder, ["cot_arith"], Evaluation(backend="hf", limit=3))
    return folder


@pytest.fixture
def student(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(evaluated, tmp_path / "student"))


def test_a_score_counts_the_samples() -> None:
    doc = {"prompt": [{"role": "user", "content": "2 + 2?"}], "answer": "4"}
    strict = [
        {"exact_match": 1, "no_answer": 0, "finish_reason": "stop", "output_tokens": 10, "timed_out": 0},
        {"exact_match": 0, "no_answer": 1, "finish_reason": "length", "output_tokens": 30, "timed_out": 0},
        {"exact_match": 0, "no_answer": 0, "finish_reason": "stop", "output_tokens": 20, "timed_out": 1},
    ]
    shared = {"doc": doc, "resps": [["The answer is 4"]]}
    samples = [shared | sample | {"filter": "strict-match"} for sample in strict]
    samples += [shared | sample | {"filter": "flexible-extract", "exact_match": 1} for sample in strict]
    command = ["cot-distill", "evaluate", "runs/my student", "--tasks", "cot_arith"]
    result = {"versions": {"cot_arith": 1.0}, "config": {"limit": 3.0}, "cot_distill": {"command": command}}
    result["n-samples"] = {"cot_arith": {"original": 500, "effective": 3}}
    score = score_of("cot_arith", result, samples, approximate=False)
    assert (score.n, score.correct, score.flexible_correct, score.no_answer, score.timed_out) == (3, 1, 3, 1, 1)
    assert score.limit == 3
    assert (score.capped, score.completed_accuracy, score.mean_output_tokens) == (1, 0.5, 20.0)
    assert score.command == "cot-distill evaluate 'runs/my student' --tasks cot_arith --limit 3"


def test_the_results_of_the_bare_command_are_worked_out_and_called_approximate(student: Path) -> None:
    (ours,) = read_scores(student)
    shutil.rmtree(student / "results")
    command = f"lm_eval --tasks cot_arith --model hf --model_args pretrained={student},dtype=float32 --limit 3 "
    command += f"--device cpu --batch_size 3 --apply_chat_template --log_samples --output_path {student}/results"
    subprocess.run(command.split(), executable=BIN / "lm_eval", check=True, capture_output=True)
    (bare,) = read_scores(student)
    assert not ours.approximate and bare.approximate
    assert (bare.n, bare.correct, bare.answer) == (ours.n, ours.correct, ours.answer)
    assert bare.mean_output_tokens == pytest.approx(ours.mean_output_tokens, rel=0.05)
    assert bare.capped == ours.capped == 3  # an untrained student never ends
    assert bare.command == (
        f"lm_eval --tasks cot_arith --model hf --model_args pretrained={student},dtype=float32 --batch_size 3 "
        "--apply_chat_template --limit 3"
    )


def test_a_short_answer_of_the_bare_command_ended_by_itself(student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().split("\n")[:-1]]
    for line in lines:
        del line["finish_reason"], line["output_tokens"]
        line["resps"] = [["The answer is 4"]]
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (score,) = read_scores(student)
    assert (score.approximate, score.capped) == (True, 0)
    assert 3 <= score.mean_output_tokens <= 10


@pytest.mark.parametrize(
    "changed",
    [
        {"n-shot": {"cot_arith": 5}},
        {"system_instruction": "Be brief."},
        {"config": {"gen_kwargs": {"temperature": 1}}},
    ],
)
def test_results_that_are_not_zero_shot_and_greedy_are_refused(changed: dict[str, object], student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | changed))
    with pytest.raises(CotDistillError, match="was not made zero-shot and greedy"):
        read_scores(student)


@pytest.mark.parametrize("content", ["", "[1, 2]\n", "{}\n", '{"filter": "strict-match"'])
def test_broken_samples_are_named(content: str, student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    samples.write_text(content)
    with pytest.raises(CotDistillError, match=r"samples_cot_arith_.* is broken"):
        read_scores(student)


def test_an_answer_may_hold_any_line_separator(student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().split("\n")[:-1]]
    for line in lines:
        line["resps"] = [["a\u2028b\x85c"]]
    samples.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    (score,) = read_scores(student)
    assert score.answer == "a\u2028b\x85c"


def test_results_of_another_chat_template_are_refused(student: Path) -> None:
    template = student / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(CotDistillError, match="made with another chat template than the student's"):
        read_scores(student)


def test_results_without_samples_are_refused(student: Path) -> None:
    (samples,) = student.rglob("samples_*.jsonl")
    samples.unlink()
    with pytest.raises(CotDistillError, match="has no samples beside it: evaluate again, with `--log_samples`"):
        read_scores(student)


def test_a_broken_file_is_named(student: Path) -> None:
    (results,) = student.rglob("results_*.json")
    results.write_text(results.read_text()[:100])
    with pytest.raises(CotDistillError, match=r"results_.*json is no result of lm-eval"):
        read_scores(student)


def test_a_student_without_results_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CotDistillError, match=r"There are no results in .*: run `cot-distill evaluate"):
        read_scores(tmp_path)


def test_the_newest_result_of_a_task_counts_and_other_tasks_are_left_out(student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    older = json.loads(path.read_text())
    older["results"]["hellaswag"] = {}
    samples = path.with_name(path.name.replace("results", "samples_cot_arith")).with_suffix(".jsonl")
    shutil.copy(samples, path.with_name("samples_cot_arith_2020-01-01T00-00-00.jsonl"))
    path.with_name("results_2020-01-01T00-00-00.json").write_text(json.dumps(older))
    (score,) = read_scores(student)
    assert (score.task, score.n) == ("cot_arith", 3)

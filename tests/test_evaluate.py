"""`cot-distill evaluate`: what it records, what it refuses, and how it goes on after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from cot_distill_datasets.backends import Generation, RecordedHF
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.scores import read_scores


@pytest.fixture
def student(workplace: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student."""
    return Path(shutil.copytree(workplace / "runs/demo/untrained", tmp_path / "student"))


def _results(student: Path, task: str = "cot_arith") -> list[Path]:
    return sorted((student / "results" / task).rglob("results_*.json"))


def test_results_lie_in_lm_evals_layout_with_how_the_answers_ended(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=4))
    (path,) = _results(student)
    result = json.loads(path.read_text())
    assert result["n-samples"] == {"cot_arith": {"original": 500, "effective": 4}}
    of_task = result["results"]["cot_arith"]
    assert (of_task["exact_match,strict-match"], of_task["no_answer,strict-match"]) == (0.0, 1.0)
    assert (of_task["capped,none"], of_task["completed_accuracy,none"], of_task["output_tokens,none"]) == (
        1,
        None,
        224,
    )
    (samples,) = path.parent.glob("samples_cot_arith_*.jsonl")
    for sample in map(json.loads, samples.read_text().splitlines()):
        assert (sample["finish_reason"], sample["output_tokens"]) == ("length", 224)


def test_what_is_there_is_not_run_again_unless_something_changed(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    (first,) = _results(student)
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    assert _results(student) == [first]
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=3))
    (second,) = _results(student)
    assert second != first
    config = json.loads((student / "generation_config.json").read_text())
    (student / "generation_config.json").write_text(json.dumps(config | {"note": "another student"}))
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=3))
    assert _results(student) != [second]


def test_a_killed_evaluation_leaves_nothing_half_written_and_the_next_one_goes_on(student: Path) -> None:
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "evaluate", student, "--tasks", "cot_arith"]
    command += ["--backend", "hf", "--limit", "64"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (student / "results/.cot_arith.new").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (student / "results/cot_arith").exists()
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    (score,) = read_scores(student)
    assert score.n == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{student}", "--tasks", "cot_arit"], "Unknown task `cot_arit`: use `cot_arith`"),
        (["{student}", "--tasks", "hellaswag"], "Unknown task `hellaswag`: use"),
        (["nowhere", "--tasks", "cot_arith"], "There is no student in nowhere"),
        (["{student}", "--tasks", "cot_arith", "--backend", "vllm"], "vLLM is not installed here"),
        (["{student}", "--tasks", "cot_svamp", "--release", "nowhere"], "There is no release in nowhere"),
    ],
)
def test_bad_arguments_get_one_sentence(
    arguments: list[str], said: str, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(argument.format(student=student) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert not (student / "results").exists() or not any((student / "results").glob("[!.]*"))


def test_an_answer_ends_at_its_end_token_a_stop_string_or_the_cap(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RecordedHF(pretrained=str(workplace / "runs/demo/untrained"), device="cpu")
    end, pad = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    a, b, stop = (model.tokenizer.encode(letter)[0] for letter in ("A", "B", "#"))
    answers = [[a, b, end, pad], [a, b, a, b], [a, stop, b, end], [end, pad, pad, pad]]
    generated = torch.tensor([[a, *answer] for answer in answers])
    monkeypatch.setattr(HFLM, "_model_generate", lambda *_, **__: generated)
    model._model_generate(torch.tensor([[a]] * 4), max_length=5, stop=["#"])
    ended = [Generation(3, "stop"), Generation(4, "length"), Generation(2, "stop"), Generation(1, "stop")]
    assert list(model.recorder.generated) == ended

"""`cot-distill evaluate`: what it records, what it refuses, and how it goes on after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_on_full_disk
from lm_eval.models.huggingface import HFLM

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.backends import Generation, RecordedHF
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.scores import read_scores


@pytest.fixture
def student(workplace: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student."""
    return Path(shutil.copytree(workplace / "runs/demo/untrained", tmp_path / "student"))


def _results(student: Path) -> list[Path]:
    return sorted((student / "results").rglob("results_*.json"))


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


def test_what_is_there_is_not_run_again_unless_the_student_changed(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    (first,) = _results(student)
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2, model_args={"batch_size": 1}))
    assert _results(student) == [first]
    config = json.loads((student / "generation_config.json").read_text())
    (student / "generation_config.json").write_text(json.dumps(config | {"note": "another student"}))
    with pytest.raises(CotDistillError, match="of other weights than the student has now"):
        read_scores(student)
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    (second,) = _results(student)
    assert second != first


def test_a_trial_hides_no_larger_result(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=3))
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    assert len(_results(student)) == 2
    (score,) = read_scores(student)
    assert score.n == 3


def test_a_killed_evaluation_keeps_the_finished_tasks_and_goes_on_with_the_others(
    student: Path, full_release: Path
) -> None:
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "evaluate", student, "--backend", "hf"]
    command += ["--tasks", "cot_arith", "cot_svamp", "--limit", "8", "--release", full_release]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (student / "results/cot_arith-hf-limit8").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (first,) = _results(student)
    evaluate(student, ["cot_arith", "cot_svamp"], Evaluation(backend="hf", limit=8, release=full_release))
    assert first in _results(student) and len(_results(student)) == 2
    assert [score.task for score in read_scores(student)] == ["cot_arith", "cot_svamp"]


def test_a_kill_between_the_two_renames_loses_nothing(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=2))
    (student / "results/cot_arith-hf-limit2").rename(student / "results/.cot_arith-hf-limit2.old")
    (score,) = read_scores(student)
    assert score.n == 2


def test_a_full_disk_is_said_and_keeps_the_old_result(student: Path) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=16))
    (before,) = _results(student)
    # The limit lets the results be written, and cuts the samples: lm-eval only logs that.
    code = (
        "import sys\n"
        "from cot_distill_datasets.cli import main\n"
        "from cot_distill_datasets import evaluate\n"
        "evaluate.PARSER = 'another'\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "16"]
    ended = run_on_full_disk("-c", code, *command, limit=60_000)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr.split("cot-distill:")[-1]
    assert _results(student) == [before]


def test_a_paper_task_is_searched_with_beams_that_no_stop_string_of_another_prompt_ends(
    student: Path, full_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    generate = HFLM._model_generate

    def watched(model: HFLM, context: torch.Tensor, max_length: int, stop: list[str], **kwargs: Any) -> torch.Tensor:
        searches.append((kwargs["num_beams"], stop))
        return generate(model, context, max_length, stop, **kwargs)

    monkeypatch.setattr(HFLM, "_model_generate", watched)
    evaluate(student, ["cot_obqa_paper"], Evaluation(backend="hf", limit=1, release=full_release))
    assert searches == [(5, [])]
    (score,) = read_scores(student)
    assert (score.task, score.n, score.flexible_correct) == ("cot_obqa_paper", 1, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{student}", "--tasks", "cot_arit"], "Unknown task `cot_arit`: use `cot_arith`"),
        (["{student}", "--tasks", "hellaswag"], "Unknown task `hellaswag`: use"),
        (["nowhere", "--tasks", "cot_arith"], "There is no student in nowhere"),
        (["{student}", "--tasks", "cot_arith", "--backend", "vllm"], "vLLM is not installed here"),
        (["{student}", "--tasks", "cot_svamp", "--release", "nowhere"], "There is no release in nowhere"),
        (["{student}", "--tasks", "cot_arith", "--model-args", "pretrained=x"], "may not say `pretrained`"),
        (["{student}", "--tasks", "cot_arith", "--model-args", "nonsense=1", "--backend", "hf"], "cannot be loaded"),
        (
            ["{student}", "--tasks", "cot_obqa_paper", "--release", "{release}"],
            "needs beam search, which vLLM has not",
        ),
    ],
)
def test_bad_arguments_get_one_sentence(
    arguments: list[str], said: str, student: Path, full_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(student=student, release=full_release) for argument in arguments]
    assert main(["evaluate", *filled]) == 2
    assert said in capsys.readouterr().err
    assert not (student / "results").exists() or not any((student / "results").glob("[!.]*"))


@pytest.mark.parametrize("option", [["--limit", "-3"], ["--limit", "0"], ["--model-args", "foo"]])
def test_what_argparse_refuses(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "student", "--tasks", "cot_arith", *option])
    assert option[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model.safetensors", "cannot be loaded"),
        ("tokenizer.json", "has no tokenizer that loads"),
        ("provenance.json", "is none that this version reads"),
    ],
)
def test_a_broken_student_is_refused_in_one_sentence(
    file: str, said: str, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (student / file).write_text("{")
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf"]) == 2
    assert said in capsys.readouterr().err


def test_a_group_and_one_of_its_members_are_each_asked_once(student: Path, full_release: Path) -> None:
    how = Evaluation(backend="hf", limit=1, release=full_release)
    scores = evaluate(student, ["cot_commonsense", "cot_obqa"], how)
    assert [score.task for score in scores] == ["cot_csqa", "cot_obqa", "cot_strategyqa"]


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

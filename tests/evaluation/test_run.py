"""`cot-distill evaluate`: what it records and rejects, how often it reads a file, and how it resumes after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from safetensors.torch import load_file, save_file
from support import make_provenance, run_on_full_disk

from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation import results, run
from cot_distill_datasets.evaluation.engines import read_architecture
from cot_distill_datasets.evaluation.recorders import Generation, RecordedHF
from cot_distill_datasets.evaluation.results import Student, read_scores
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate
from cot_distill_datasets.evaluation.scores import Score
from cot_distill_datasets.training.models import write_untrained_demo


@pytest.fixture
def student(project_dir: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student."""
    return Path(shutil.copytree(project_dir / "runs/demo/untrained", tmp_path / "student"))


def _evaluate(student: Path, *tasks: str, **config: Any) -> list[Score]:
    return evaluate(Student.open(student), tasks, EvaluationConfig(backend="hf", **config))


def _results(student: Path) -> list[Path]:
    return sorted((student / "results").rglob("results_*.json"))


def _read(student: Path) -> list[Score]:
    return read_scores(Student.open(student))


def test_results_have_lm_evals_layout_and_how_each_answer_ended(student: Path) -> None:
    _evaluate(student, "cot_arith", limit=4)
    (path,) = _results(student)
    result = json.loads(path.read_text())
    assert result["n-samples"] == {"cot_arith": {"original": 500, "effective": 4}}
    assert lm_eval.__path__[0] not in path.read_text()  # where lm-eval found the task, in `config_source`
    metrics = result["results"]["cot_arith"]
    assert (metrics["exact_match,strict-match"], metrics["no_answer,strict-match"]) == (0.0, 1.0)
    finish = [metrics[f"{name},none"] for name in ("truncated", "finished_accuracy", "output_tokens")]
    assert finish == [1, None, 224]
    (samples,) = path.parent.glob("samples_cot_arith_*.jsonl")
    for sample in map(json.loads, samples.read_text().splitlines()):
        assert (sample["finish_reason"], sample["output_tokens"]) == ("length", 224)


def test_the_returned_score_equals_the_score_that_is_read_from_the_files(student: Path) -> None:
    assert _evaluate(student, "cot_arith", limit=2) == _read(student)


def test_a_complete_task_is_not_run_again_unless_the_student_changed(student: Path) -> None:
    _evaluate(student, "cot_arith", limit=2)
    (first,) = _results(student)
    _evaluate(student, "cot_arith", limit=2, model_args={"batch_size": 1})
    assert _results(student) == [first]
    config = json.loads((student / "generation_config.json").read_text())
    (student / "generation_config.json").write_text(json.dumps(config | {"note": "changed"}))
    _evaluate(student, "cot_arith", limit=2)
    (second,) = _results(student)
    assert second != first


def test_a_task_is_run_again_if_an_exemplar_has_another_text(student: Path) -> None:
    exemplar = {"id": "arith-1", "prompt": [{"role": "user", "content": "1+1?"}]}
    for answer in ("The answer is 2.", "The answer is 3."):
        completion = [{"role": "assistant", "content": answer}]
        _evaluate(student, "cot_arith", limit=1, exemplars=[exemplar | {"completion": completion}])
        (path,) = (student / "results").rglob("samples_*.jsonl")
        assert answer in path.read_text()


def test_a_command_hashes_the_weights_once_counts_samples_once_and_reads_the_provenance_once(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = sha256((student / "chat_template.jinja").read_bytes()).hexdigest()
    make_provenance(chat_template_sha256=template).write(student)
    _evaluate(student, "cot_arith", limit=2)
    reads: Counter[str] = Counter()

    def count(owner: Any, name: str, key: Callable[..., str | None]) -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            reads.update(filter(None, [key(*args)]))
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(results, "file_digest", lambda file, _: Path(file.name).name)
    for module in (results, run):
        count(module, "score_samples", lambda _, task, result, samples: f"{len(samples)} samples of {task}")
    count(Path, "read_text", lambda path: path.name if path.name == "provenance.json" else None)
    command = ["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "3"]
    assert main(command) == 0
    assert {name: n for name, n in reads.items() if not name.endswith((".json", ".jinja"))} == {
        "model.safetensors": 1,
        "6 samples of cot_arith": 1,  # this command: two filters
        "4 samples of cot_arith": 1,  # the earlier result, which the model card reads
    }
    assert reads["provenance.json"] == reads["config.json"] == 1
    assert (student / "README.md").is_file()


def test_a_smaller_result_never_replaces_a_larger_one(student: Path) -> None:
    _evaluate(student, "cot_arith", limit=3)
    _evaluate(student, "cot_arith", limit=2)
    assert len(_results(student)) == 2
    (score,) = _read(student)
    assert score.n == 3


@pytest.mark.slow
def test_a_killed_evaluation_keeps_complete_tasks_and_resumes_with_the_others(
    student: Path, stand_in_release: Path
) -> None:
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "evaluate", student, "--backend", "hf"]
    command += ["--tasks", "cot_arith", "cot_svamp", "--limit", "8", "--release", stand_in_release]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (student / "results/cot_arith-hf-limit8").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (first,) = _results(student)
    _evaluate(student, "cot_arith", "cot_svamp", limit=8, release=stand_in_release)
    assert first in _results(student) and len(_results(student)) == 2
    assert [score.task for score in _read(student)] == ["cot_arith", "cot_svamp"]


def test_a_kill_between_the_two_renames_loses_nothing(student: Path) -> None:
    _evaluate(student, "cot_arith", limit=2)
    (student / "results/cot_arith-hf-limit2").rename(student / "results/.cot_arith-hf-limit2.old")
    (score,) = _read(student)
    assert score.n == 2


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_keeps_the_earlier_result(student: Path) -> None:
    _evaluate(student, "cot_arith", limit=16)
    (before,) = _results(student)
    # The limit lets the results be written and truncates the samples, which lm-eval only logs.
    code = (
        "import sys\n"
        "from cot_distill_datasets.cli import main\n"
        "from cot_distill_datasets.evaluation import run\n"
        "run.GRADER_VERSION = 'changed'\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "16"]
    process = run_on_full_disk("-c", code, *command, limit=60_000)
    assert process.returncode == 2
    message = process.stderr.split("cot-distill:")[-1]
    assert str(before.parents[1]) in message and "Traceback" not in message
    assert _results(student) == [before]


def test_a_paper_task_uses_beam_search_that_stop_strings_of_other_prompts_do_not_end(
    student: Path, stand_in_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    generate = HFLM._model_generate

    def recorded(model: HFLM, context: torch.Tensor, max_length: int, stop: list[str], **kwargs: Any) -> torch.Tensor:
        searches.append((kwargs["num_beams"], stop))
        return generate(model, context, max_length, stop, **kwargs)

    monkeypatch.setattr(HFLM, "_model_generate", recorded)
    (score,) = _evaluate(student, "cot_obqa_paper", limit=1, release=stand_in_release)
    assert searches == [(5, [])]
    assert (score.task, score.n, score.flexible_correct) == ("cot_obqa_paper", 1, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{student}", "--tasks", "cot_arit"], "`cot_arit`: use `cot_arith`"),
        (["{student}", "--tasks", "hellaswag"], "`hellaswag`: use `"),
        (["nowhere", "--tasks", "cot_arith"], "nowhere"),
        (["{student}", "--tasks", "cot_arith", "--backend", "vllm"], "`pip install vllm`"),
        (["{student}", "--tasks", "cot_svamp", "--release", "nowhere"], "nowhere"),
        (["{student}", "--tasks", "cot_arith", "--model-args", "pretrained=x"], "`pretrained`"),
        (["{student}", "--tasks", "cot_arith", "--model-args", "nonsense=1", "--backend", "hf"], "nonsense"),
        (["{student}", "--tasks", "cot_obqa_paper", "--release", "{release}"], "`cot_obqa_paper`"),
    ],
)
def test_invalid_arguments_end_with_one_sentence(
    arguments: list[str], message: str, student: Path, stand_in_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [argument.format(student=student, release=stand_in_release) for argument in arguments]
    assert main(["evaluate", *command]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cot-distill: ")]
    assert message in line
    assert not (student / "results").exists() or not any((student / "results").glob("[!.]*"))


@pytest.mark.parametrize("option", [["--limit", "-3"], ["--limit", "0"], ["--model-args", "foo"]])
def test_invalid_option_values_are_rejected_by_the_parser(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "student", "--tasks", "cot_arith", *option])
    assert option[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model.safetensors", "{student}/model.safetensors"),
        ("tokenizer.json", "tokenizer of {student}"),
        ("provenance.json", "{student}/provenance.json"),
    ],
)
def test_a_broken_student_is_rejected_with_its_path(
    file: str, message: str, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (student / file).write_text("{")
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf"]) == 2
    assert message.format(student=student) in capsys.readouterr().err


def test_a_gpu_out_of_memory_names_the_batch_size(
    student: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(HFLM, "_model_generate", fail)
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "2"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(data in error for data in (str(student), "cot_arith", "--model-args batch_size", "64"))


@pytest.fixture
def students(project_dir: Path, tmp_path: Path) -> list[Path]:
    """Two students of one architecture and different weights, and a smaller one between them."""
    names = {"first": ("demo", 1), "smaller": ("demo-small", 1), "second": ("demo", 2)}
    for name, (student, seed) in names.items():
        write_untrained_demo(tmp_path / name, student, seed=seed)
    return [tmp_path / name for name in names]


def _recorded(students: list[Path]) -> list[tuple[Any, str]]:
    """Return what was recorded, but when and for how long."""
    recorded = []
    for path in (path for student in students for path in _results(student)):
        result = json.loads(path.read_text())
        (samples,) = path.parent.glob("samples_*.jsonl")
        recorded.append(({key: result[key] for key in ("results", "config", "cot_distill")}, samples.read_text()))
    return recorded


def test_several_students_in_one_call_have_the_results_of_one_call_each_and_are_not_run_again(
    students: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for student in students:
        _evaluate(student, "cot_arith", limit=3)
    alone = _recorded(students)
    for student in students:
        shutil.rmtree(student / "results")
    command = [
        "evaluate",
        *map(str, [*students, students[0]]),
        "--tasks",
        "cot_arith",
        "--backend",
        "hf",
        "--limit",
        "3",
    ]
    assert main(command) == 0
    assert _recorded(students) == alone and len({samples for _, samples in alone}) == 3
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines() if "cot_arith" in line]
    assert [student.name in row for student, row in zip(students, rows, strict=True)] == [True] * 3
    before = [path for student in students for path in _results(student)]
    assert main(command) == 0
    assert [path for student in students for path in _results(student)] == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", "{"),
        ("config.json", "[]"),
        ("chat_template.jinja", "{{ messages[0]['content'] * 200 }}"),
        ("chat_template.jinja", ""),
        ("chat_template.jinja", "Answer the question."),
        ("chat_template.jinja", "{{ raise_exception('no') }}"),
    ],
)
def test_a_broken_student_is_rejected_before_another_is_evaluated(
    file: str, content: str, students: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (students[2] / file).write_text(content)
    assert main(["evaluate", *map(str, students), "--tasks", "cot_arith", "--backend", "hf", "--limit", "1"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cot-distill: ")]
    assert str(students[2]) in line
    assert not any((student / "results").exists() for student in students)


def test_only_students_that_differ_in_their_weights_have_one_architecture(students: list[Path]) -> None:
    first, smaller, second = students
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"use_cache": False}))  # as after a training
    assert read_architecture(first) == read_architecture(second) != read_architecture(smaller)
    (second / "config.json").write_text(json.dumps(config | {"rope_theta": 1.0}))
    assert read_architecture(first) != read_architecture(second)


def test_an_incomplete_file_of_weights_is_another_architecture(students: list[Path]) -> None:
    weights = load_file(students[0] / "model.safetensors")
    before = read_architecture(students[0])
    save_file(dict(list(weights.items())[1:]), students[0] / "model.safetensors")
    assert read_architecture(students[0]) != before


def test_a_task_in_two_of_the_names_is_run_once(student: Path, stand_in_release: Path) -> None:
    scores = _evaluate(student, "cot_commonsense", "cot_obqa", limit=1, release=stand_in_release)
    assert [score.task for score in scores] == ["cot_csqa", "cot_obqa", "cot_strategyqa"]


def test_an_answer_ends_at_the_eos_token_a_stop_string_or_max_gen_toks(
    project_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RecordedHF(pretrained=str(project_dir / "runs/demo/untrained"), device="cpu")
    end, pad = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    a, b, stop = (model.tokenizer.encode(letter)[0] for letter in ("A", "B", "#"))
    answers = [[a, b, end, pad], [a, b, a, b], [a, stop, b, end], [end, pad, pad, pad]]
    generated = torch.tensor([[a, *answer] for answer in answers])
    monkeypatch.setattr(HFLM, "_model_generate", lambda *_, **__: generated)
    model._model_generate(torch.tensor([[a]] * 4), max_length=5, stop=["#"])
    expected = [Generation(3, "stop"), Generation(4, "length"), Generation(2, "stop"), Generation(1, "stop")]
    assert list(model.recorder.generated) == expected

"""vLLM on a CPU: the commands work, and the greedy answers equal those of `hf`. `make test-vllm`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


pytest.importorskip("vllm", reason="`make test-vllm` has an environment with vLLM")

import lm_eval
import torch
import yaml
from pretrained import unpack
from support import ROOT
from transformers import AutoModelForCausalLM
from vllm import ModelRegistry

from cot_distill_datasets.evaluation import engines
from cot_distill_datasets.evaluation.results import Student, read_scores
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate, evaluate_students
from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources import arith
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.models import write_untrained_demo


BIN = Path(sys.executable).parent
CPU = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": "2"}
DEMO, SMOLLM2 = "runs/demo/oracle-l3-arith/seed100", "runs/base/smollm2-135m"
QUESTIONS, MAX_GEN_TOKS = 50, 64

# The architecture of each model that a recipe names: `architectures` of its config.json on the Hub.
ARCHITECTURES = {
    "meta-llama/Llama-3.2-1B": "LlamaForCausalLM",
    "meta-llama/Llama-3.2-3B": "LlamaForCausalLM",
    "google/gemma-2b": "GemmaForCausalLM",
    "google/gemma-3-270m": "Gemma3ForCausalLM",
    **{f"bigscience/bloom-{size}": "BloomForCausalLM" for size in ("560m", "1b1", "1b7", "3b")},
    "HuggingFaceTB/SmolLM2-135M-Instruct": "LlamaForCausalLM",
    "runs/base/smollm2-135m": "LlamaForCausalLM",
    "runs/demo/untrained": "LlamaForCausalLM",
    "runs/demo-small/untrained": "LlamaForCausalLM",
    "runs/demo-large/untrained": "LlamaForCausalLM",
}


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory, benchmarks: Path) -> Path:
    """A folder with a release that includes `eval-gsm8k`, a demo student trained for 50 steps, and SmolLM2-135M."""
    folder = tmp_path_factory.mktemp("students")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 2000)
        build(folder / "eit/cot-distill", None, benchmarks)
        patch.chdir(folder)
        _run(f"accelerate launch {ROOT}/training/sft.py --max_steps 50 --dataset_config oracle-l3-arith")
    unpack(folder / "runs/base/smollm2-135m")
    return folder


@pytest.fixture
def working_dir(students: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make that folder the current one."""
    monkeypatch.chdir(students)


def test_smollm2_answers_as_with_hf_in_float32(working_dir: None, capsys: pytest.CaptureFixture[str]) -> None:
    hf_answers = _hf_answers(SMOLLM2)
    equal = {dtype: _share_equal(hf_answers, _vllm_answers(SMOLLM2, dtype)) for dtype in ("float32", "bfloat16")}
    with capsys.disabled():
        print(f"\nSmolLM2-135M, {QUESTIONS} questions of GSM8K, vLLM's greedy answers equal to hf's float32: {equal}")
    assert equal["float32"] >= 0.95


def test_evaluate_records_the_same_answers_and_token_counts_with_both_backends(working_dir: None) -> None:
    _run(f"cot-distill evaluate {DEMO} --tasks cot_arith --limit {QUESTIONS} --backend vllm")
    student = Student.open(Path(DEMO))
    (vllm_score,) = read_scores(student)
    (hf_score,) = evaluate(student, ["cot_arith"], EvaluationConfig(backend="hf", limit=QUESTIONS))
    assert _share_equal(_recorded_answers("vllm"), _recorded_answers("hf")) >= 0.95
    assert (vllm_score.truncated, vllm_score.mean_output_tokens) == (hf_score.truncated, hf_score.mean_output_tokens)
    assert "--backend vllm" in vllm_score.command and not vllm_score.estimated


@pytest.mark.filterwarnings("ignore:Unclosed context:ResourceWarning")  # vLLM does not close those of its sockets
def test_students_of_one_architecture_share_an_engine_and_answer_as_with_their_own(
    project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_dir)
    first, second, smaller = tmp_path / "first", tmp_path / "second", tmp_path / "smaller"
    _write_random(first, "demo", seed=1)
    _write_random(second, "demo", seed=2)
    _write_random(smaller, "demo-small", seed=1)
    starts = []
    load = engines._load_model
    monkeypatch.setattr(engines, "_load_model", lambda *args: starts.append(args[0]["pretrained"]) or load(*args))

    shared = _shots_samples(first, smaller, second)
    assert starts == [str(folder) for folder in (smaller, first, smaller)]  # the first one checks its prompts
    swapped = _shots_samples(second, first)  # now the second has a fresh engine
    assert starts[3:] == [str(second)]

    assert shared[first] == swapped[first] and shared[second] == swapped[second]
    pairs = zip(map(json.loads, shared[first]), map(json.loads, shared[second]), strict=True)
    assert sum(a["resps"] != b["resps"] for a, b in pairs) == len(shared[first])


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_vllm_supports_the_architecture_of_every_recipe(recipe: Path) -> None:
    model = yaml.safe_load(recipe.read_text())["model_name_or_path"]
    assert ARCHITECTURES[model] in ModelRegistry.get_supported_archs()


def _write_random(folder: Path, student: str, seed: int) -> None:
    """Write a student whose answers depend on the prompt: the layers outweigh the tied embeddings."""
    write_untrained_demo(folder, student, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for weights in model.model.layers.parameters():
            weights.mul_(8 if weights.ndim == 2 else 1)
    model.save_pretrained(folder)


def _shots_samples(*folders: Path) -> dict[Path, list[str]]:
    """Evaluate in one call on prompts longer than four blocks of vLLM's cache (128 tokens), and return the samples."""
    exemplars = load_rows("oracle-l6-arith").select(range(6)).to_list()
    config = EvaluationConfig(backend="vllm", limit=10, exemplars=exemplars)
    for folder in folders:
        shutil.rmtree(folder / "results", ignore_errors=True)
    samples = {}
    for student, _ in evaluate_students([Student.open(folder) for folder in folders], ["cot_arith"], config):
        (path,) = student.folder.rglob("samples_cot_arith_*.jsonl")
        samples[student.folder] = path.read_text().splitlines()
        prompt = json.loads(samples[student.folder][0])["arguments"]["gen_args_0"]["arg_0"]
        assert len(student.tokenizer.encode(prompt)) > 4 * 128
    return samples


def _vllm_answers(student: str, dtype: str) -> list[str]:
    """Run the README's command, and return the answers in the order of the questions."""
    out = Path(f"out-{dtype}") / student
    _run(
        f"lm_eval --tasks cot_gsm8k --model vllm --model_args pretrained={student},dtype={dtype},enforce_eager=True,"
        f"max_model_len=1024 --batch_size auto --apply_chat_template --limit {QUESTIONS} --gen_kwargs "
        f"max_gen_toks={MAX_GEN_TOKS} --output_path {out} --log_samples"
    )
    return _read_answers(out, "cot_gsm8k")


def _recorded_answers(backend: str) -> list[str]:
    return _read_answers(Path(DEMO, f"results/cot_arith-{backend}-limit{QUESTIONS}"), "cot_arith")


def _read_answers(folder: Path, task: str) -> list[str]:
    (path,) = folder.rglob(f"samples_{task}_*.jsonl")
    return _in_order([json.loads(line) for line in path.read_text().split("\n")[:-1]])


def _hf_answers(student: str) -> list[str]:
    """Return the answers of the `hf` backend, which can run in this process."""
    results = lm_eval.simple_evaluate(
        model="hf", model_args=f"pretrained={student},dtype=float32", tasks=["cot_gsm8k"], batch_size=QUESTIONS,
        device="cpu", apply_chat_template=True, limit=QUESTIONS, gen_kwargs=f"max_gen_toks={MAX_GEN_TOKS}",
        bootstrap_iters=0,
    )  # fmt: skip
    return _in_order(results["samples"]["cot_gsm8k"])


def _in_order(samples: list[dict[str, Any]]) -> list[str]:
    answers = {sample["doc_id"]: sample["resps"][0][0] for sample in samples}
    return [answers[number] for number in range(QUESTIONS)]


def _share_equal(first: list[str], second: list[str]) -> float:
    assert len(first) == len(second) == QUESTIONS
    return sum(a == b for a, b in zip(first, second)) / QUESTIONS


def _run(command: str) -> None:
    program, *arguments = shlex.split(command)
    process = subprocess.run([BIN / program, *arguments], env=CPU, text=True, capture_output=True)
    assert process.returncode == 0, process.stderr[-3000:]

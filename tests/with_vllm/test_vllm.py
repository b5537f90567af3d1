"""vLLM for real, on a CPU: the command as typed, and its greedy answers beside those of `hf`. `make test-vllm`."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


pytest.importorskip("vllm", reason="`make test-vllm` has an environment with vLLM")

import lm_eval
import yaml
from pretrained import unpack
from vllm import ModelRegistry

from cot_distill_datasets import arith
from cot_distill_datasets.build import build
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.scores import read_scores


ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CPU = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": "2"}
DEMO, SMOLLM2 = "runs/demo/oracle-l3-arith/seed100", "runs/base/smollm2-135m"
QUESTIONS, CAP = 50, 64

# The architecture of each model that a recipe names: `architectures` of its config.json on the Hub.
ARCHITECTURES = {
    "meta-llama/Llama-3.2-1B": "LlamaForCausalLM",
    "meta-llama/Llama-3.2-3B": "LlamaForCausalLM",
    "google/gemma-2b": "GemmaForCausalLM",
    "google/gemma-3-270m": "Gemma3ForCausalLM",
    **{f"bigscience/bloom-{size}": "BloomForCausalLM" for size in ("560m", "1b1", "1b7", "3b")},
    "HuggingFaceTB/SmolLM2-135M-Instruct": "LlamaForCausalLM",
    "runs/demo/untrained": "LlamaForCausalLM",
}


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory, benchmarks: Path) -> Path:
    """A folder with a release that has `eval-gsm8k`, the demo student after a few steps, and SmolLM2-135M."""
    folder = tmp_path_factory.mktemp("students")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 2000)
        build(folder / "eit/cot-distill", None, benchmarks)
        patch.chdir(folder)
        _run(f"accelerate launch {ROOT}/training/sft.py --max_steps 50 --dataset_config oracle-l3-arith")
    unpack(folder / "runs/base/smollm2-135m")
    return folder


@pytest.fixture
def inside(students: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the folder that commands are typed in."""
    monkeypatch.chdir(students)
    return students


def test_smollm2_answers_as_with_hf_in_float32(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_hf = _by_hf(SMOLLM2)
    same = {dtype: _shared(of_hf, _by_vllm(SMOLLM2, dtype)) for dtype in ("float32", "bfloat16")}
    with capsys.disabled():
        print(f"\nSmolLM2-135M, {QUESTIONS} questions of GSM8K, vLLM's greedy answers equal to hf's float32: {same}")
    assert same["float32"] >= 0.95


def test_evaluate_gives_the_answers_of_hf_and_records_what_vllm_counts(inside: Path) -> None:
    student = Path(DEMO)
    _run(f"cot-distill evaluate {student} --tasks cot_arith --limit {QUESTIONS} --backend vllm")
    (of_vllm,) = read_scores(student)
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=QUESTIONS))
    (of_hf,) = read_scores(student)
    assert _shared(_recorded(student, "vllm"), _recorded(student, "hf")) >= 0.95
    assert (of_vllm.capped, of_vllm.mean_output_tokens) == (of_hf.capped, of_hf.mean_output_tokens)
    assert "--backend vllm" in of_vllm.command and not of_vllm.approximate


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_vllm_knows_the_architecture_of_every_recipe(recipe: Path) -> None:
    model = yaml.safe_load(recipe.read_text())["model_name_or_path"]
    assert ARCHITECTURES[model] in ModelRegistry.get_supported_archs()


def _by_vllm(student: str, dtype: str) -> list[str]:
    """Run the README's command, and return the answers in the order of the questions."""
    out = Path(f"out-{dtype}") / student
    _run(
        f"lm_eval --tasks cot_gsm8k --model vllm --model_args pretrained={student},dtype={dtype},enforce_eager=True,"
        f"max_model_len=1024 --batch_size auto --apply_chat_template --limit {QUESTIONS} --gen_kwargs "
        f"max_gen_toks={CAP} --output_path {out} --log_samples"
    )
    return _written(out, "cot_gsm8k")


def _recorded(student: Path, backend: str) -> list[str]:
    return _written(student / f"results/cot_arith-{backend}-limit{QUESTIONS}", "cot_arith")


def _written(folder: Path, task: str) -> list[str]:
    (path,) = folder.rglob(f"samples_{task}_*.jsonl")
    return _in_order([json.loads(line) for line in path.read_text().split("\n")[:-1]])


def _by_hf(student: str) -> list[str]:
    """Return the answers of the other backend, which needs no process of its own."""
    results = lm_eval.simple_evaluate(
        model="hf", model_args=f"pretrained={student},dtype=float32", tasks=["cot_gsm8k"], batch_size=QUESTIONS,
        device="cpu", apply_chat_template=True, limit=QUESTIONS, gen_kwargs=f"max_gen_toks={CAP}", bootstrap_iters=0,
    )  # fmt: skip
    return _in_order(results["samples"]["cot_gsm8k"])


def _in_order(samples: list[dict[str, Any]]) -> list[str]:
    answers = {sample["doc_id"]: sample["resps"][0][0] for sample in samples}
    return [answers[number] for number in range(QUESTIONS)]


def _shared(some: list[str], others: list[str]) -> float:
    assert len(some) == len(others) == QUESTIONS
    return sum(a == b for a, b in zip(some, others)) / QUESTIONS


def _run(command: str) -> None:
    program, *arguments = shlex.split(command)
    ended = subprocess.run([BIN / program, *arguments], env=CPU, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr[-3000:]

"""vLLM for real, on a CPU: the command as typed, and its greedy answers beside those of `hf`. `make test-vllm`."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


pytest.importorskip("vllm", reason="`make test-vllm` has an environment with vLLM")

import yaml
from pretrained import unpack
from vllm import ModelRegistry

from cot_distill_datasets.build import build
from cot_distill_datasets.scores import read_scores


ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
QUESTIONS = 50
OFFLINE = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": "2"}
ON_CPU = "enforce_eager=True,max_model_len=1024"

# The architecture of each model that a recipe names: `architectures` of its config.json on the Hub.
ARCHITECTURES = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "LlamaForCausalLM",
    "runs/demo/untrained": "LlamaForCausalLM",
}


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory, benchmarks: Path) -> Path:
    """A folder with a release that has `eval-gsm8k`, the demo student after a few steps, and SmolLM2-135M."""
    folder = tmp_path_factory.mktemp("students")
    build(folder / "eit/cot-distill", None, benchmarks)
    train = "accelerate launch --num_processes 1 training/sft.py --max_steps 60 --dataset_config oracle-l3-arith"
    _run(train.replace("training/", f"{ROOT}/training/"), folder)
    unpack(folder / "runs/base/smollm2-135m")
    return folder


def test_the_demo_student_answers_as_with_hf(students: Path) -> None:
    student = "runs/demo/oracle-l3-arith/seed100"
    shared = _shared(_lm_eval(students, "vllm", student, "float32"), _lm_eval(students, "hf", student, "float32"))
    assert shared >= 0.95


def test_smollm2_answers_as_with_hf_in_float32(students: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = "runs/base/smollm2-135m"
    of_hf = _lm_eval(students, "hf", student, "float32")
    same = {dtype: _shared(of_hf, _lm_eval(students, "vllm", student, dtype)) for dtype in ("float32", "bfloat16")}
    with capsys.disabled():
        print(
            f"\nSmolLM2-135M, {QUESTIONS} questions of GSM8K: greedy answers of vLLM equal to hf's in float32: {same}"
        )
    assert same["float32"] >= 0.95


def test_evaluate_records_what_vllm_counts(students: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(students)
    student = Path("runs/demo/oracle-l3-arith/seed100")
    scores = []
    for backend in ("vllm", "hf"):
        _run(f"cot-distill evaluate {student} --tasks cot_arith --limit 20 --backend {backend}", students)
        scores += read_scores(student)
    of_vllm, of_hf = scores
    assert (of_vllm.capped, of_vllm.mean_output_tokens) == (of_hf.capped, of_hf.mean_output_tokens)
    assert "--backend vllm" in of_vllm.command and not of_vllm.approximate


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_vllm_knows_the_architecture_of_every_recipe(recipe: Path) -> None:
    model = yaml.safe_load(recipe.read_text())["model_name_or_path"]
    assert ARCHITECTURES[model] in ModelRegistry.get_supported_archs()


def _lm_eval(folder: Path, model: str, student: str, dtype: str) -> list[str]:
    """Run the README's command, and return the answers in the order of the questions."""
    out = f"out/{model}-{dtype}-{student.replace('/', '-')}"
    arguments = f"pretrained={student},dtype={dtype}" + (f",{ON_CPU}" if model == "vllm" else "")
    how = "--batch_size auto" if model == "vllm" else "--batch_size 50 --device cpu"
    _run(
        f"lm_eval --tasks cot_gsm8k --model {model} --model_args {arguments} {how} "
        f"--apply_chat_template --limit {QUESTIONS} --gen_kwargs max_gen_toks=64 --output_path {out} --log_samples",
        folder,
    )
    (path,) = (folder / out).rglob("samples_cot_gsm8k_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    answers = {sample["doc_id"]: sample["resps"][0][0] for sample in samples}
    return [answers[number] for number in range(QUESTIONS)]


def _shared(some: list[str], others: list[str]) -> float:
    assert len(some) == len(others) == QUESTIONS
    return sum(a == b for a, b in zip(some, others)) / QUESTIONS


def _run(command: str, folder: Path) -> None:
    program, *arguments = shlex.split(command)
    ended = subprocess.run([BIN / program, *arguments], cwd=folder, env=OFFLINE, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr[-3000:]

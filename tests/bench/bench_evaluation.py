"""Speed of an evaluation with our tasks, against raw vLLM and against the loop of the paper's released scripts.

    make bench
    OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_evaluation.py --questions 128

All three send the same prompts of `cot_svamp` to the same SmolLM2-135M on a CPU. Decoding is greedy, with at most 128
tokens per answer. The first goes through `lm_eval` (prompts, answers, grading), the second is one call of
`LLM.generate`, and the third sends one request at a time, as `Evaluation/` of the paper's release does. The unit is
output tokens per second; the result is the ratio within one run.

Then six students of one architecture (demo students of random weights, the first 100 questions of `cot_arith`) are
evaluated by one call of `cot-distill evaluate`, and by six; the result is the ratio of their wall times.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter


os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_LOGGING_LEVEL": "ERROR"}
sys.path.insert(0, str(Path(__file__).parents[1]))

import lm_eval
from lm_eval.tasks import TaskManager
from pretrained import unpack
from vllm import SamplingParams, TokensPrompt

from cot_distill_datasets.chat import stop_strings
from cot_distill_datasets.evaluation.recorder_vllm import RecordedVLLM
from cot_distill_datasets.release.build import build
from cot_distill_datasets.training.models import write_untrained_demo


BENCHMARKS = Path(__file__).parents[3] / "shared/benchmarks"
MAX_GEN_TOKS = 128
LOOP_QUESTIONS = 12  # the loop is slow
ROUNDS = 3
STUDENTS = 6


def main() -> None:
    """Measure the three in turn, `ROUNDS` times, and print the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=128)
    questions = parser.parse_args().questions
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        student, release = Path(folder) / "smollm2-135m", Path(folder) / "release"
        unpack(student)
        build(release, None, BENCHMARKS)
        model = RecordedVLLM(
            pretrained=str(student), dtype="bfloat16", batch_size="auto", max_model_len=1024, enforce_eager=True,
            enable_prefix_caching=False,
        )  # fmt: skip
        manager = TaskManager(metadata={"release": str(release)})
        prompts = _lm_eval_rate(model, manager, questions)[1]  # also a warm-up
        ratios = []
        for _ in range(ROUNDS):
            ours, raw = _lm_eval_rate(model, manager, questions)[0], _raw_rate(model, prompts)
            loop = _loop_rate(model, prompts[:LOOP_QUESTIONS])
            ratios.append((ours / raw, ours / loop))
            print(f"output tokens per second: lm-eval {ours:.0f}, raw {raw:.0f}, one request at a time {loop:.0f}")
    to_raw, to_loop = (sorted(column)[ROUNDS // 2] for column in zip(*ratios))
    print(f"our tasks / raw LLM.generate: {to_raw:.2f}; / one request at a time: {to_loop:.1f} (medians)")


def _compare_calls() -> None:
    """Evaluate six students in one call and in six, and print the wall times."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder) / "release")
        students = [Path(folder) / f"student{seed}" for seed in range(STUDENTS)]
        for seed, student in enumerate(students):
            write_untrained_demo(student, seed=seed)
        together = _seconds(folder, students)
        for student in students:
            shutil.rmtree(student / "results")
        apart = sum(_seconds(folder, [student]) for student in students)
    print(
        f"{STUDENTS} students: one call {together:.0f} s, {STUDENTS} calls {apart:.0f} s, ratio {apart / together:.1f}"
    )


def _seconds(folder: str, students: list[Path]) -> float:
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "evaluate", *map(str, students), "--tasks"]
    command += ["cot_arith", "--limit", "100", "--release", f"{folder}/release"]
    begin = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - begin


def _lm_eval_rate(model: RecordedVLLM, manager: TaskManager, questions: int) -> tuple[float, list[str]]:
    begin = perf_counter()
    results = lm_eval.simple_evaluate(
        model=model, tasks=["cot_svamp"], limit=questions, apply_chat_template=True, task_manager=manager,
        gen_kwargs=f"max_gen_toks={MAX_GEN_TOKS}",
    )  # fmt: skip
    seconds = perf_counter() - begin
    prompts = [sample["arguments"][0][0] for sample in results["samples"]["cot_svamp"]]
    tokens = sum(generation.tokens for generation in model.recorder.by_prompt.values())
    return tokens / seconds, list(dict.fromkeys(prompts))


def _raw_rate(model: RecordedVLLM, prompts: list[str]) -> float:
    begin = perf_counter()
    tokens = _generate(model, prompts)
    return tokens / (perf_counter() - begin)


def _loop_rate(model: RecordedVLLM, prompts: list[str]) -> float:
    begin = perf_counter()
    tokens = sum(_generate(model, [prompt]) for prompt in prompts)
    return tokens / (perf_counter() - begin)


def _generate(model: RecordedVLLM, prompts: list[str]) -> int:
    """Return the number of output tokens. The stop strings are those of the task."""
    parameters = SamplingParams(temperature=0, max_tokens=MAX_GEN_TOKS, stop=stop_strings("svamp"))
    tokens = [TokensPrompt(prompt_token_ids=model.tok_encode(prompt)) for prompt in prompts]
    return sum(len(output.outputs[0].token_ids) for output in model.model.generate(tokens, parameters, use_tqdm=False))


if __name__ == "__main__":
    main()
    _compare_calls()

"""How fast is an evaluation through our tasks? In ratios of one run: raw vLLM, and the released scripts' loop.

    make bench
    OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_evaluation.py --questions 128

All three send the same prompts of `cot_svamp` to the same SmolLM2-135M on a CPU, greedy, at most 128 tokens an answer:
through `lm_eval` (prompts, answers, grading), by one call of `LLM.generate`, and one request at a time, as
`Evaluation/` of the paper's release does. What is compared are output tokens a second.
"""

import argparse
import logging
import os
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

from cot_distill_datasets.backend_vllm import RecordedVLLM
from cot_distill_datasets.build import build


BENCHMARKS = Path(__file__).parents[3] / "shared/benchmarks"
CAP = 128  # tokens
ONE_BY_ONE = 12  # questions: the loop is slow
ROUNDS = 3


def main() -> None:
    """Measure each way in turn, a few times, and print the median of the ratios."""
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
        prompts = _through_lm_eval(model, manager, questions)[1]  # also warms up
        ratios = []
        for _ in range(ROUNDS):
            ours, raw = _through_lm_eval(model, manager, questions)[0], _raw(model, prompts)
            loop = _one_by_one(model, prompts[:ONE_BY_ONE])
            ratios.append((ours / raw, ours / loop))
            print(f"output tokens a second: through lm-eval {ours:.0f}, raw {raw:.0f}, one by one {loop:.0f}")
    of_raw, of_loop = (sorted(column)[ROUNDS // 2] for column in zip(*ratios))
    print(f"through our tasks / raw LLM.generate: {of_raw:.2f}; / one request at a time: {of_loop:.1f} (medians)")


def _through_lm_eval(model: RecordedVLLM, manager: TaskManager, questions: int) -> tuple[float, list[str]]:
    begin = perf_counter()
    results = lm_eval.simple_evaluate(
        model=model, tasks=["cot_svamp"], limit=questions, apply_chat_template=True, task_manager=manager,
        gen_kwargs=f"max_gen_toks={CAP}",
    )  # fmt: skip
    seconds = perf_counter() - begin
    prompts = [sample["arguments"][0][0] for sample in results["samples"]["cot_svamp"]]
    tokens = sum(generation.tokens for generation in model.recorder.of_prompt.values())
    return tokens / seconds, list(dict.fromkeys(prompts))


def _raw(model: RecordedVLLM, prompts: list[str]) -> float:
    begin = perf_counter()
    tokens = _generate(model, prompts)
    return tokens / (perf_counter() - begin)


def _one_by_one(model: RecordedVLLM, prompts: list[str]) -> float:
    begin = perf_counter()
    tokens = sum(_generate(model, [prompt]) for prompt in prompts)
    return tokens / (perf_counter() - begin)


def _generate(model: RecordedVLLM, prompts: list[str]) -> int:
    """Return how many tokens vLLM answered with; it stops as the tasks let it stop."""
    stop = ["<|im_end|>", "<|im_start|>", "<|eot_id|>", "<end_of_turn>", "### Instruction:"]
    how = SamplingParams(temperature=0, max_tokens=CAP, stop=stop)
    tokens = [TokensPrompt(prompt_token_ids=model.tok_encode(prompt)) for prompt in prompts]
    return sum(len(output.outputs[0].token_ids) for output in model.model.generate(tokens, how, use_tqdm=False))


if __name__ == "__main__":
    main()

"""The rate of `cot-distill annotate` with a real `vllm serve`, against `vllm bench serve` with the same prompts.

    make bench
    OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_annotation_vllm.py --questions 64

Both send the same prompts to the same server, SmolLM2-135M on a CPU: `annotate` as messages, `vllm bench serve` as the
text that the chat template makes of them. Every answer has 64 tokens (`ignore_eos`), 32 requests are in flight, and
the server caches no prefixes. The unit is output tokens per second; the result is the median of the ratios.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[1]))

from pretrained import unpack
from support import build_questions
from transformers import AutoTokenizer
from vllm_server import NAME, serve

from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.teachers.annotate import Settings, annotate
from cot_distill_datasets.teachers.requests import Plan, load_questions


TOKENS, CONCURRENCY, ROUNDS = 64, 32, 3


def main() -> None:
    """Measure the two in turn, `ROUNDS` times, and print the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=128)
    count = parser.parse_args().questions
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = build_questions(Path(name), count)
        unpack(folder / NAME)
        questions = load_questions(folder / "eit/cot-distill", "arith")
        parameters = {"max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
        plan = Plan(NAME, parameters, (ConfigName("smollm2", 3, "cot", "arith"),), {"arith": questions}, 1, True)
        _write_prompts(folder, plan)
        with serve(folder / NAME, folder / "serve.log", "--no-enable-prefix-caching") as url:
            for number in range(-1, ROUNDS):  # the first one is a warm-up
                ours, theirs = _our_rate(folder / f"store{number}", plan, url), _their_rate(folder, count, url)
                ratios += [ours / theirs] if number >= 0 else []
                print(f"output tokens per second: annotate {ours:.0f}, vllm bench serve {theirs:.0f}", flush=True)
    print(f"annotate / vllm bench serve: {sorted(ratios)[ROUNDS // 2]:.2f} (median)")


def _write_prompts(folder: Path, plan: Plan) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / NAME)
    with (folder / "prompts.jsonl").open("w") as file:
        for request in plan.requests():
            text = tokenizer.apply_chat_template(request.prompt.messages, tokenize=False, add_generation_prompt=True)
            file.write(json.dumps({"prompt": text}) + "\n")


def _our_rate(store: Path, plan: Plan, url: str) -> float:
    begin = time.perf_counter()
    result = annotate(store, plan, Settings(f"{url}/v1", CONCURRENCY, gate=False))
    return result.answers * TOKENS / (time.perf_counter() - begin)


def _their_rate(folder: Path, count: int, url: str) -> float:
    command = [Path(sys.executable).parent / "vllm", "bench", "serve", "--base-url", url, "--model", folder / NAME]
    prompts = ["--dataset-name", "custom", "--dataset-path", folder / "prompts.jsonl", "--skip-chat-template"]
    load = ["--num-prompts", str(count), "--max-concurrency", str(CONCURRENCY), "--custom-output-len", str(TOKENS)]
    options = ["--served-model-name", NAME, "--ignore-eos", "--temperature", "0", "--disable-tqdm"]
    saved = ["--save-result", "--result-dir", folder, "--result-filename", "result.json"]
    ended = subprocess.run([*command, *prompts, *load, *options, *saved], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return float(json.loads((folder / "result.json").read_text())["output_throughput"])


if __name__ == "__main__":
    main()

"""The time of scoring configs under SmolLM2-135M against bare forward passes of the same batches, and its memory.

    make bench
    OMP_NUM_THREADS=2 .venv/bin/python tests/bench/bench_recommend.py --configs 24 --rows 500

Part by part, the texts of a config go through bare forward passes, in the batches that `recommend` forms, and then
through `recommend` itself: rendering, tokenizing, forward passes, log-probabilities, ranks and the file of results. A
bare pass is `model(input_ids, attention_mask)`, which computes the logits of every token; for comparison, the same
with `logits_to_keep=1`, which computes next to none. The peak memory is that of another process, which only scores,
after a quarter of the questions and after all of them.

On 2 cores, 24 configs and 500 rows take hours; the default takes about 5 minutes.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any


os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

import torch

from cot_distill_datasets.names import RELEASE_NAME, ConfigName
from cot_distill_datasets.recommend import forward
from cot_distill_datasets.recommend.base import Base, load_base
from cot_distill_datasets.recommend.passes import batches, pad
from cot_distill_datasets.recommend.texts import Text
from cot_distill_datasets.release.folder import require_release


ROOT = Path(__file__).parents[2]
PART = 10  # questions


class Clock:
    """Runs bare passes over the texts of each part of `score_configs`, and adds up the seconds of all."""

    def __init__(self) -> None:
        self.full = self.body = self.ours = 0.0
        self.tokens = 0
        self.measure, self.score_part = forward.measure, forward._score_part
        forward.measure, forward._score_part = self.run_bare, self.time_part  # type: ignore[assignment]

    def run_bare(self, base: Base, texts: set[Text]) -> Any:
        """Run bare passes, then those of `recommend`. The seconds of the bare ones are not those of the scores."""
        full, body = _bare_seconds(base, texts), _bare_seconds(base, texts, logits_to_keep=1)
        self.full, self.body, self.ours = self.full + full, self.body + body, self.ours - full - body
        self.tokens += sum(len(text.tokens) for text in texts)
        return self.measure(base, texts)

    def time_part(self, *arguments: Any) -> Any:
        """Time the scores of a part."""
        begin = perf_counter()
        table = self.score_part(*arguments)
        self.ours += perf_counter() - begin
        return table


@torch.inference_mode()
def _bare_seconds(base: Base, texts: set[Text], **options: int) -> float:
    begin = perf_counter()
    for batch in batches(texts):
        base.model(**pad(batch, base.model.device), use_cache=False, **options)
    return perf_counter() - begin


def main() -> None:
    """Print the seconds of all, their ratios, and the peak memory after a quarter and after all of the questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, default=Path(RELEASE_NAME), help="folder of a built release")
    parser.add_argument("--benchmark", default="svamp")
    parser.add_argument("--student", type=Path, help="folder of SmolLM2-135M-Instruct; default: unpack it")
    parser.add_argument("--configs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=40)
    args = parser.parse_args()
    forward._PART = PART
    configs = [stats.config for stats in require_release(args.release).training]
    configs = [config for config in configs if config.benchmark == args.benchmark and config.teacher != "answer"]
    configs = configs[: args.configs]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; ", end="")
    print(f"{len(configs)} configs, {args.rows} rows", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, student = Path(name), args.student or Path(name) / "student"
        if not args.student:
            subprocess.run([sys.executable, ROOT / "tests/pretrained.py", "smollm2-135m", student], check=True)
        recipe = folder / "smollm2-135m.yaml"
        recipe.write_text(f"model_name_or_path: {student}\nchat_template_path: chatml\n")
        clock = Clock()
        forward.score_configs(load_base(str(recipe)), configs, str(args.release), rows=args.rows, folder=folder)
        print(f"{clock.tokens} tokens; recommend: {clock.ours:.1f} s ({clock.tokens / clock.ours:.0f} tokens/s)")
        for passes, seconds in (("all logits", clock.full), ("one logit of each text", clock.body)):
            print(
                f"bare passes with {passes}: {seconds:.1f} s; recommend / bare: {clock.ours / seconds:.2f}", flush=True
            )
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
            counts = max(args.rows // 4, 1), args.rows
            peaks = process.submit(peak_memory, str(recipe), configs, str(args.release), counts, folder / "2").result()
    for count, peak in zip(counts, peaks):
        print(f"peak memory after {count} rows of each config: {peak:.0f} MiB")


def peak_memory(
    recipe: str, configs: list[ConfigName], release: str, counts: tuple[int, ...], folder: Path
) -> list[float]:
    """Return the peak memory of this process in MiB after scoring each count of rows; each run resumes."""
    forward._PART = PART
    base, peaks = load_base(recipe), []
    for count in counts:
        forward.score_configs(base, configs, release, rows=count, folder=folder)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return peaks


if __name__ == "__main__":
    main()

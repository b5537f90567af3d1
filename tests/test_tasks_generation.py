"""What the tasks tell the model: when to stop and after how many tokens, held against every training target."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.tasks._yaml_loader import load_yaml
from pretrained import gguf
from transformers import AutoTokenizer

from cot_distill_datasets.benchmarks import TEST_SPLITS, benchmark_of
from cot_distill_datasets.release import read_release
from cot_distill_datasets.taxonomy import ConfigName
from cot_distill_datasets.training_rows import load_training_rows


ROOT = Path(__file__).parent.parent
PAPERS_LIMIT = {"gsm8k": 1024, "aqua": 1024, "csqa": 640}  # `model_max_length` and `max_tokens` of the release


def _generation(task: str) -> dict[str, Any]:
    folder = task.removesuffix("_paper")
    settings: dict[str, Any] = load_yaml(ROOT / f"eval_tasks/{folder}/{task}.yaml")["generation_kwargs"]
    return settings


@pytest.fixture(scope="module")
def targets(full_release: Path) -> dict[str, list[str]]:
    """Every training target of the release, by config."""
    release = read_release(full_release)
    assert release is not None
    loaded = {stats.name: load_training_rows(str(full_release), stats.name) for stats in release.training}
    return {name: [turn[0]["content"] for turn in rows["completion"]] for name, rows in loaded.items()}


@pytest.fixture(scope="module")
def lengths(targets: dict[str, list[str]], workplace: Path) -> dict[str, float]:
    """The 99.5th percentile of each config's targets, in tokens of SmolLM2, for `arith` of the demo student too."""
    smollm2 = AutoTokenizer.from_pretrained(gguf().parent, gguf_file=gguf().name)
    demo = AutoTokenizer.from_pretrained(workplace / "runs/demo/untrained")
    counts = _counts_by_word(smollm2, targets)
    for name, texts in targets.items():
        if ConfigName.parse(name).benchmark == "arith":
            counts[f"{name} (demo)"] = [len(ids) for ids in demo(texts)["input_ids"]]
    # The student writes its end token too.
    return {name: float(np.percentile([count + 1 for count in lengths], 99.5)) for name, lengths in counts.items()}


def _counts_by_word(tokenizer: Any, targets: dict[str, list[str]]) -> dict[str, list[int]]:
    """Tokenise each distinct word once, which is quick: GPT-2's way never joins a word to the space behind it."""
    words = {name: [re.findall(r"\s*\S+|\s+\Z", text) for text in texts] for name, texts in targets.items()}
    distinct = list({word for texts in words.values() for text in texts for word in text})
    length = dict(zip(distinct, map(len, tokenizer(distinct)["input_ids"])))
    counts = {name: [sum(map(length.__getitem__, text)) for text in texts] for name, texts in words.items()}
    assert counts["human-svamp"] == [len(ids) for ids in tokenizer(targets["human-svamp"])["input_ids"]]
    return counts


@pytest.mark.parametrize("benchmark", TEST_SPLITS)
def test_the_length_is_a_quarter_more_than_the_longest_configs_targets(
    benchmark: str, lengths: dict[str, float]
) -> None:
    """1.25 times the longest 99.5th percentile, in multiples of 8; without the finest level at least the paper's."""
    trained_on = benchmark_of(benchmark)
    of_benchmark = {name: length for name, length in lengths.items() if name.split(" ")[0].endswith(f"-{trained_on}")}
    expected = 8 * math.ceil(1.25 * max(of_benchmark.values()) / 8)
    if not any("-l6-" in name for name in of_benchmark):
        expected = max(expected, PAPERS_LIMIT[trained_on])
    assert _generation(f"cot_{benchmark}")["max_gen_toks"] == expected


def test_no_stop_string_occurs_in_a_training_target(targets: dict[str, list[str]]) -> None:
    stops = {stop for benchmark in TEST_SPLITS for stop in _generation(f"cot_{benchmark}")["until"]}
    assert _hits(stops, targets) == []


def test_the_papers_stop_strings_cut_no_target_of_the_benchmarks_it_used_them_for(
    targets: dict[str, list[str]],
) -> None:
    assert _hits(set(_generation("cot_csqa_paper")["until"]), targets) == [
        ("gemini-l1-math", "\nProblem"),
        ("gemini-l5-math", "\nProblem"),
    ]


def _hits(stops: set[str], targets: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [
        (config, stop)
        for config, texts in targets.items()
        for stop in sorted(stops)
        if any(stop in text for text in texts)
    ]


def test_all_tasks_stop_at_the_same_strings_and_none_at_a_blank_line() -> None:
    (stops,) = {tuple(_generation(f"cot_{benchmark}")["until"]) for benchmark in TEST_SPLITS}
    assert stops == ("<|im_end|>", "<|im_start|>", "<|eot_id|>", "<end_of_turn>", "### Instruction:")

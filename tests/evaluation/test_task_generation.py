"""Stop strings and `max_gen_toks` of the tasks, checked against every training target of the release."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.tasks._yaml_loader import load_yaml
from pretrained import gguf
from support import ROOT
from transformers import AutoTokenizer

from cot_distill_datasets.benchmarks import TEST_SPLITS, benchmark_for_split
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.release.folder import read_release
from cot_distill_datasets.training.data import load_rows


PAPER_LIMITS = {"gsm8k": 1024, "aqua": 1024, "csqa": 640}  # `model_max_length` and `max_tokens` of the release


def _generation(task: str) -> dict[str, Any]:
    folder = task.removesuffix("_paper")
    settings: dict[str, Any] = load_yaml(ROOT / f"eval_tasks/{folder}/{task}.yaml")["generation_kwargs"]
    return settings


@pytest.fixture(scope="module")
def targets(full_release: Path) -> dict[str, list[str]]:
    """Every training target of the release, by config."""
    release = read_release(full_release)
    assert release is not None
    loaded = {stats.name: load_rows(stats.name, str(full_release)) for stats in release.training}
    return {name: [turn[0]["content"] for turn in rows["completion"]] for name, rows in loaded.items()}


@pytest.fixture(scope="module")
def lengths(targets: dict[str, list[str]], project_dir: Path) -> dict[str, float]:
    """The 99.5th percentile of target lengths per config, in SmolLM2's tokens; for `arith` also the demo student's."""
    smollm2 = AutoTokenizer.from_pretrained(gguf().parent, gguf_file=gguf().name)
    demo = AutoTokenizer.from_pretrained(project_dir / "runs/demo/untrained")
    counts = _counts_by_word(smollm2, targets)
    for name, texts in targets.items():
        if ConfigName.parse(name).benchmark == "arith":
            counts[f"{name} (demo)"] = [len(ids) for ids in demo(texts)["input_ids"]]
    # The student also writes the EOS token.
    return {name: float(np.percentile([count + 1 for count in lengths], 99.5)) for name, lengths in counts.items()}


def _counts_by_word(tokenizer: Any, targets: dict[str, list[str]]) -> dict[str, list[int]]:
    """Tokenize each distinct word once, for speed: GPT-2's pre-tokenizer never joins a word to the space after it."""
    words = {name: [re.findall(r"\s*\S+|\s+\Z", text) for text in texts] for name, texts in targets.items()}
    distinct = list({word for texts in words.values() for text in texts for word in text})
    length = dict(zip(distinct, map(len, tokenizer(distinct)["input_ids"])))
    counts = {name: [sum(map(length.__getitem__, text)) for text in texts] for name, texts in words.items()}
    assert counts["human-svamp"] == [len(ids) for ids in tokenizer(targets["human-svamp"])["input_ids"]]
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", TEST_SPLITS)
def test_max_gen_toks_leaves_a_quarter_more_room_than_the_longest_config(
    benchmark: str, lengths: dict[str, float]
) -> None:
    """1.25 times the longest 99.5th percentile, in multiples of 8; at least the paper's limit without level 6."""
    trained_on = benchmark_for_split(benchmark)
    configs = {name: length for name, length in lengths.items() if name.split(" ")[0].endswith(f"-{trained_on}")}
    expected = 8 * math.ceil(1.25 * max(configs.values()) / 8)
    if not any("-l6-" in name for name in configs):
        expected = max(expected, PAPER_LIMITS[trained_on])
    assert _generation(f"cot_{benchmark}")["max_gen_toks"] == expected


@pytest.mark.slow
def test_no_stop_string_occurs_in_a_training_target(targets: dict[str, list[str]]) -> None:
    stops = {stop for benchmark in TEST_SPLITS for stop in _generation(f"cot_{benchmark}")["until"]}
    assert _occurrences(stops, targets) == []


@pytest.mark.slow
def test_the_papers_stop_strings_occur_in_no_target_of_its_commonsense_benchmarks(
    targets: dict[str, list[str]],
) -> None:
    assert _occurrences(set(_generation("cot_csqa_paper")["until"]), targets) == [
        ("gemini-l1-math", "\nProblem"),
        ("gemini-l5-math", "\nProblem"),
    ]


def _occurrences(stops: set[str], targets: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [
        (config, stop)
        for config, texts in targets.items()
        for stop in sorted(stops)
        if any(stop in text for text in texts)
    ]


def test_all_tasks_have_the_same_stop_strings_without_a_blank_line() -> None:
    (stops,) = {tuple(_generation(f"cot_{benchmark}")["until"]) for benchmark in TEST_SPLITS}
    assert stops == ("<|im_end|>", "<|im_start|>", "<|eot_id|>", "<end_of_turn>", "### Instruction:")

"""Our extractors and the unmodified ones of lm-eval's two GSM8K tasks and of math-verify."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval
from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from released import Extractor, Reading, Text, flexible, strict


TARGETS = (LatexExtractionConfig(), ExprExtractionConfig())  # math-verify's defaults
TIMEOUT = 30  # seconds per text; the default of 5 would let a busy machine change a verdict


def lm_eval_filter(task_name: str, filter_name: str, suffix: str = "") -> Extractor:
    """Return an extractor that applies a filter and the `exact_match` of an lm-eval task (`gsm8k`, `gsm8k-cot`).

    lm-eval's own class loads the task from its own YAML file, with one blank row instead of the Hub's data. `suffix`
    is appended to each text, because the pattern of `gsm8k-cot` requires a character after the number.
    """
    path = Path(lm_eval.__file__).parent / f"tasks/gsm8k/{task_name}.yaml"
    blank = dict.fromkeys(("train", "test"), Dataset.from_list([{"question": "", "answer": ""}]))
    task: Any = ConfigurableTask(config=load_yaml(path) | {"custom_dataset": lambda **_: blank})
    (steps,) = (ensemble for ensemble in task._filters if ensemble.name == filter_name)

    @cache
    def is_gold(answer: str, gold: str) -> bool:
        return bool(task.process_results({"question": "", "answer": gold}, [answer])["exact_match"])

    def read(released: Text) -> Reading:
        response = Instance("generate_until", {}, (), 0, resps=[f"{released.text}{suffix}"])
        steps.apply([response])
        answer = response.filtered_resps[filter_name]
        return Reading(None if answer == "[invalid]" else answer, is_gold(answer, str(released.gold)))

    return read


def math_verify(released: Text) -> Reading:
    """Read a text with math-verify's two default targets and compare it to the gold (LaTeX for MATH, otherwise plain).

    math-verify finds the answer in the full text, as its documentation describes.
    """
    parsed = parse(released.text, TARGETS, parsing_timeout=TIMEOUT)
    gold = _parse_gold(f"${released.gold}$" if released.kind == "math" else str(released.gold))
    return Reading(str(parsed[-1]) if parsed else None, verify(gold, parsed, timeout_seconds=TIMEOUT))


@cache
def _parse_gold(gold: str) -> list[Any]:
    return list(parse(gold, TARGETS, parsing_timeout=TIMEOUT))


def extractors() -> dict[str, Extractor]:
    """Return the extractors by their names on the page. Those of lm-eval read only numbers."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns for each text that it cannot parse
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return {
        "ours strict": strict,
        "ours flexible": flexible,
        "gsm8k strict": lm_eval_filter("gsm8k", "strict-match"),
        "gsm8k flexible": lm_eval_filter("gsm8k", "flexible-extract"),
        "gsm8k_cot strict": lm_eval_filter("gsm8k-cot", "strict-match"),
        "gsm8k_cot strict + full stop": lm_eval_filter("gsm8k-cot", "strict-match", suffix="."),
        "gsm8k_cot flexible": lm_eval_filter("gsm8k-cot", "flexible-extract"),
        "math-verify": math_verify,
    }


# The extractors by answer kind whose disagreements a person judged. `gsm8k strict` is omitted because no text contains
# `####`, `gsm8k_cot strict` because most texts end without a period, and `gsm8k_cot flexible` equals `gsm8k flexible`.
COMPARED = {
    "number": ("ours strict", "ours flexible", "gsm8k flexible", "gsm8k_cot strict + full stop", "math-verify"),
    "math": ("ours strict", "ours flexible", "math-verify"),
}

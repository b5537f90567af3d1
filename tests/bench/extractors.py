"""Other extractors beside ours: lm-eval's two GSM8K tasks and math-verify, each as it ships."""

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
from released import Extractor, Said, Text, flexible, strict


TARGETS = (LatexExtractionConfig(), ExprExtractionConfig())  # math-verify's defaults
PATIENCE = 30  # seconds for one text instead of its 5: a busy machine must not decide a verdict


def lm_eval_filter(task_name: str, filter_name: str, added: str = "") -> Extractor:
    """Return a filter of a task of lm-eval (`gsm8k`, `gsm8k-cot`) with that task's `exact_match`.

    The task is made of lm-eval's own YAML file, by its own class, on one blank row instead of the Hub's. `added` is
    put behind each text: the pattern of `gsm8k-cot` wants a character behind the number.
    """
    path = Path(lm_eval.__file__).parent / f"tasks/gsm8k/{task_name}.yaml"
    blank = dict.fromkeys(("train", "test"), Dataset.from_list([{"question": "", "answer": ""}]))
    task: Any = ConfigurableTask(config=load_yaml(path) | {"custom_dataset": lambda **_: blank})
    (steps,) = (ensemble for ensemble in task._filters if ensemble.name == filter_name)

    @cache
    def is_gold(answer: str, gold: str) -> bool:
        return bool(task.process_results({"question": "", "answer": gold}, [answer])["exact_match"])

    def say(released: Text) -> Said:
        response = Instance("generate_until", {}, (), 0, resps=[f"{released.text}{added}"])
        steps.apply([response])
        answer = response.filtered_resps[filter_name]
        return Said(None if answer == "[invalid]" else answer, is_gold(answer, str(released.gold)))

    return say


def math_verify(released: Text) -> Said:
    """Read a text with math-verify's two default targets, and verify it against the gold (LaTeX of MATH, else plain).

    The whole text is given, as math-verify documents it; it looks for the answer itself.
    """
    parsed = parse(released.text, TARGETS, parsing_timeout=PATIENCE)
    gold = _parse_gold(f"${released.gold}$" if released.kind == "math" else str(released.gold))
    return Said(str(parsed[-1]) if parsed else None, verify(gold, parsed, timeout_seconds=PATIENCE))


@cache
def _parse_gold(gold: str) -> list[Any]:
    return list(parse(gold, TARGETS, parsing_timeout=PATIENCE))


def extractors() -> dict[str, Extractor]:
    """Return the extractors by their names in the page; those of lm-eval are for numbers only."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns of each text that it cannot parse
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return {
        "ours strict": strict,
        "ours flexible": flexible,
        "gsm8k strict": lm_eval_filter("gsm8k", "strict-match"),
        "gsm8k flexible": lm_eval_filter("gsm8k", "flexible-extract"),
        "gsm8k_cot strict": lm_eval_filter("gsm8k-cot", "strict-match"),
        "gsm8k_cot strict + full stop": lm_eval_filter("gsm8k-cot", "strict-match", added="."),
        "gsm8k_cot flexible": lm_eval_filter("gsm8k-cot", "flexible-extract"),
        "math-verify": math_verify,
    }


# Whose differences a person judged: no text has the `####` of `gsm8k strict`, most lack the full stop of `gsm8k_cot
# strict`, and the two flexible filters are one.
JUDGED_OF = {
    "number": ("ours strict", "ours flexible", "gsm8k flexible", "gsm8k_cot strict + full stop", "math-verify"),
    "math": ("ours strict", "ours flexible", "math-verify"),
}

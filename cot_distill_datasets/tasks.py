"""What the task files in `eval_tasks/` name: their rows, turns, filters and metrics, all of the package's one grader.

lm-eval calls each by its dotted name (`!function cot_distill_datasets.tasks.process_results`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

from . import arith, latex
from .answers import equivalent, extract
from .benchmarks import BENCHMARKS
from .release import RELEASE_REVISION, read_release
from .schema import FEATURES, Row, completion_text, eval_row
from .taxonomy import RELEASE_NAME, CotDistillError, eval_config


def task_folder() -> Path:
    """Return where an install lays `eval_tasks/`: in lm-eval's own task folder."""
    from lm_eval import tasks

    return Path(tasks.__file__).parent / "cot_distill"


def rows(benchmark: str, release: str | None = None, **_: Any) -> dict[str, Dataset]:
    """Return the test split of `benchmark` (or `math500`), as lm-eval's `custom_dataset` wants it.

    It is read from `release` (`--metadata '{"release": "DIR"}'`), else from `./eit/cot-distill`, else from the Hub at
    a pinned revision; `arith` is generated. lm-eval also passes the model's arguments, which are not ours.

    Raises:
        CotDistillError: the release folder has no test split of the benchmark.
    """
    if benchmark == "arith":
        return {"test": Dataset.from_list([eval_row("arith", item) for item in arith.eval_items()], features=FEATURES)}
    folder, config = Path(release or RELEASE_NAME), eval_config(benchmark)
    if (found := read_release(folder)) is None:
        if release:
            raise CotDistillError(f"There is no release in {folder}: build one, or leave `release` out.")
        return {"test": load_dataset(RELEASE_NAME, config, split="test", revision=RELEASE_REVISION)}
    if config not in {stats.name for stats in found.configs}:
        raise CotDistillError(
            f"The release in {folder} has no `{config}`: build it with `cot-distill build --benchmarks DIR`."
        )
    return {"test": load_dataset(str(folder), config, split="test")}


def prompt(doc: Row) -> str:
    """Return the user's turn, as in training."""
    return str(doc["prompt"][0]["content"])


def target(doc: Row) -> str:
    """Return the closing sentence with the gold."""
    return completion_text(None, doc["answer"])


def strict_match(responses: list[list[str]], docs: list[Row]) -> list[str]:
    """Filter: what each response concludes in its closing sentence, empty where it has none."""
    return _extracted(responses, docs, strict=True)


def flexible_extract(responses: list[list[str]], docs: list[Row]) -> list[str]:
    """Filter: the same, but a response without a closing sentence gives its last answer."""
    return _extracted(responses, docs, strict=False)


def _extracted(responses: list[list[str]], docs: list[Row], *, strict: bool) -> list[str]:
    return [
        extract(sampled[0], BENCHMARKS[doc["benchmark"]].answer_kind, strict=strict) or ""  # greedy: one response each
        for sampled, doc in zip(responses, docs)
    ]


def process_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one filtered response: is it the gold, and is there an answer at all?"""
    kind = BENCHMARKS[doc["benchmark"]].answer_kind
    return {"exact_match": int(equivalent(results[0], doc["answer"], kind)), "no_answer": int(not results[0])}


def process_math_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one LaTeX response: the same, and whether its comparison was given up, which counts as wrong."""
    verdict = latex.verdict(results[0], doc["answer"])
    return {
        "exact_match": int(verdict == "same"),
        "no_answer": int(not results[0]),
        "timed_out": int(verdict == "timeout"),
    }

"""A student's scores, read from lm-eval's result files (`results_*.json` beside `samples_*.jsonl`) in its folder.

Everything is counted from the samples. `cot-distill evaluate` writes into each how the answer ended and how many
tokens it has; of the bare `lm_eval --log_samples` they are worked out with the student's tokenizer, and called
approximate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .benchmarks import TEST_SPLITS
from .preflight import template_sha
from .taxonomy import CotDistillError


STRICT, FLEXIBLE = "strict-match", "flexible-extract"
RESULTS = "results"  # the folder below a student that holds its results

Sample = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One student on one task: counts of its `n` questions, under the headline filter where none is named.

    `capped` are answers that ran into `max_gen_toks`, `completed_correct` the correct ones among the others;
    `timed_out` are LaTeX comparisons that were given up, and count as wrong.
    """

    task: str
    version: float
    n: int
    correct: int
    flexible_correct: int
    no_answer: int
    capped: int
    completed_correct: int
    timed_out: int
    mean_output_tokens: float
    approximate: bool
    command: str
    question: str
    gold: str
    answer: str  # to that question, as the student wrote it

    @property
    def completed_accuracy(self) -> float | None:
        """Accuracy on the answers that ended by themselves, between 0 and 1; null where none did."""
        completed = self.n - self.capped
        return self.completed_correct / completed if completed else None


def read_scores(student: Path) -> list[Score]:
    """Return the newest score of each of our tasks in `{student}/results`, in the order of the benchmarks.

    Raises:
        CotDistillError: there are none; a result was made without the student's own chat template, or without samples.
    """
    found = (student / RESULTS).glob("[!.]*/**/results_*.json")  # a hidden folder was not finished
    files = sorted(found, key=lambda path: path.name)  # its date, in order
    newest = {task: (path, result) for path in files for result in [_load(path)] for task in result["results"]}
    scores = [_read(student, task, *found) for task, found in newest.items() if _benchmark(task) in TEST_SPLITS]
    if not scores:
        raise CotDistillError(
            f"There are no results of our tasks in {student / RESULTS}: run `cot-distill evaluate {student}`, or "
            f"`lm_eval … --apply_chat_template --log_samples --output_path {student / RESULTS}`."
        )
    order = list(TEST_SPLITS)
    return sorted(scores, key=lambda score: (order.index(_benchmark(score.task)), score.task))


def score_of(task: str, result: dict[str, Any], samples: Sequence[Sample], *, approximate: bool) -> Score:
    """Count the samples of a task, each of which has `finish_reason` and `output_tokens`."""
    strict = [sample for sample in samples if sample["filter"] == STRICT]
    completed = [sample for sample in strict if sample["finish_reason"] != "length"]
    return Score(
        task=task,
        version=result["versions"][task],
        n=len(strict),
        correct=_sum(strict, "exact_match"),
        flexible_correct=_sum([sample for sample in samples if sample["filter"] == FLEXIBLE], "exact_match"),
        no_answer=_sum(strict, "no_answer"),
        capped=len(strict) - len(completed),
        completed_correct=_sum(completed, "exact_match"),
        timed_out=_sum(strict, "timed_out"),
        mean_output_tokens=round(sum(sample["output_tokens"] for sample in strict) / len(strict), 1),
        approximate=approximate,
        command=_command(task, result),
        question=strict[0]["doc"]["question"],
        gold=strict[0]["doc"]["answer"],
        answer=strict[0]["resps"][0][0],
    )


def _read(student: Path, task: str, path: Path, result: dict[str, Any]) -> Score:
    tokenizer = _tokenizer(student)
    if result.get("chat_template_sha") != template_sha(tokenizer):
        raise CotDistillError(
            f"{path} was made with another chat template than the student's, or with none: evaluate again, with "
            "`--apply_chat_template`."
        )
    file = path.with_name(path.name.replace("results_", f"samples_{task}_", 1).replace(".json", ".jsonl"))
    if not file.is_file():
        raise CotDistillError(f"{path} has no samples beside it: evaluate again, with `--log_samples`.")
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    approximate = "finish_reason" not in samples[0]
    if approximate:
        for sample in samples:
            sample |= _worked_out(sample, tokenizer)
    return score_of(task, result, samples, approximate=approximate)


def _command(task: str, result: dict[str, Any]) -> str:
    """Return the command that makes the result again."""
    model, arguments, limit = (result["config"][name] for name in ("model", "model_args", "limit"))
    last = f" --limit {limit:g}" if limit else ""
    if "cot_distill" not in result:
        given = _joined(arguments)
        return f"lm_eval --tasks {task} --model {model} --model_args {given} --apply_chat_template{last}"
    more = _joined({name: value for name, value in arguments.items() if name != "pretrained"})
    given = f"{arguments['pretrained']} --tasks {task} --backend {model}{more and f' --model-args {more}'}"
    return f"cot-distill evaluate {given}{last}"


def _joined(arguments: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in arguments.items())


def _worked_out(sample: Sample, tokenizer: Any) -> Sample:
    """Return how an answer ended, from its text: what a model wrote may have been other tokens of the same text."""
    tokens = len(tokenizer.encode(sample["resps"][0][0], add_special_tokens=False))
    cap = sample["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"]
    if tokens >= cap:
        return {"output_tokens": cap, "finish_reason": "length"}
    return {"output_tokens": tokens + 1, "finish_reason": "stop"}


@cache
def _tokenizer(student: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(student)


def _load(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise CotDistillError(f"{path} is no result of lm-eval ({error}): remove it, and evaluate again.") from error


def _benchmark(task: str) -> str:
    return task.removeprefix("cot_").removesuffix("_paper")


def _sum(samples: Sequence[Sample], metric: str) -> int:
    return int(sum(sample.get(metric, 0) for sample in samples))

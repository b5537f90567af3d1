"""A student's scores, read from lm-eval's result files (`results_*.json` beside `samples_*.jsonl`) in its folder.

Everything is counted from the samples. `cot-distill evaluate` writes into each how the answer ended and how many
tokens it has; of the bare `lm_eval --log_samples` they are worked out with the student's tokenizer, and called
approximate.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .benchmarks import TEST_SPLITS
from .folders import restore
from .preflight import template_sha
from .taxonomy import CotDistillError


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STRICT, FLEXIBLE = "strict-match", "flexible-extract"
RESULTS = "results"  # the folder below a student that holds its results
OURS = "cot_distill"  # the key of a result that says how it was made
_WHAT_ANSWERS = {".safetensors", ".json", ".jinja", ".model", ".txt"}

Sample = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One student on one task: counts of its `n` questions under the headline filter; all there are without a `limit`.

    `capped` are answers that ran into `max_gen_toks`, `completed_correct` the correct ones among the others;
    `timed_out` are LaTeX comparisons that were given up, and count as wrong. A `paper` task has one filter only.
    """

    task: str
    version: float
    n: int
    limit: int | None
    correct: int
    flexible_correct: int | None
    no_answer: int
    capped: int
    completed_correct: int
    timed_out: int
    mean_output_tokens: float
    approximate: bool
    command: str
    prompt: str
    gold: str
    answer: str  # to that prompt, as the student wrote it

    @property
    def completed_accuracy(self) -> float | None:
        """Accuracy on the answers that ended by themselves, between 0 and 1; null where none did."""
        completed = self.n - self.capped
        return self.completed_correct / completed if completed else None


def read_scores(student: Path) -> list[Score]:
    """Return one score of each of our tasks in `{student}/results`, in the order of the benchmarks.

    Of several that with the most questions counts, then the newest: a trial with `--limit` hides no whole result.

    Raises:
        CotDistillError: there are none, or one does not belong to the student (`read_score`).
    """
    for folder in (student / RESULTS).glob(".*.old"):
        restore(folder.with_name(folder.name[1:].removesuffix(".old")))
    files = sorted((student / RESULTS).glob("[!.]*/**/results_*.json"), key=lambda path: path.name)  # by date
    if not files:
        raise CotDistillError(
            f"There are no results in {student / RESULTS}: run `cot-distill evaluate {student}`, or "
            f"`lm_eval … --apply_chat_template --log_samples --output_path {student / RESULTS}`."
        )
    tokenizer, weights = load_tokenizer(student), digest(student)
    scores = [read_score(path, task, tokenizer, weights) for path in files for task in _tasks(path)]
    best = {score.task: score for score in sorted(scores, key=lambda score: score.n)}
    order = list(TEST_SPLITS)
    return sorted(best.values(), key=lambda score: (order.index(split_of(score.task)), score.task))


def read_score(path: Path, task: str, tokenizer: PreTrainedTokenizerBase, weights: str) -> Score:
    """Read one task from a `results_*.json` and the samples beside it; `weights` is the `digest` of the student.

    Raises:
        CotDistillError: the files cannot be read; they were made without samples, with another chat template or other
            weights than the student has, or not zero-shot and greedy.
    """
    result = _load(path)
    if result.get("chat_template_sha") != template_sha(tokenizer):
        raise CotDistillError(
            f"{path} was made with another chat template than the student's, or with none: evaluate again, with "
            "`--apply_chat_template`."
        )
    if OURS in result and result[OURS]["settings"]["student_sha256"] != weights:
        raise CotDistillError(f"{path} is of other weights than the student has now: evaluate again.")
    samples_file = path.with_name(path.name.replace("results_", f"samples_{task}_", 1).replace(".json", ".jsonl"))
    if not samples_file.is_file():
        raise CotDistillError(f"{path} has no samples beside it: evaluate again, with `--log_samples`.")
    try:
        _check_settings(path, task, result)
        with samples_file.open(encoding="utf-8") as lines:  # not `splitlines`: an answer may hold U+2028
            samples = [json.loads(line) for line in lines]
        approximate = "finish_reason" not in samples[0]
        if approximate:
            samples = [sample | _worked_out(sample, tokenizer) for sample in samples]
        return score_of(task, result, samples, approximate=approximate)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CotDistillError(f"{samples_file} is broken ({error!r}): remove its folder, evaluate again.") from error


def score_of(task: str, result: dict[str, Any], samples: Sequence[Sample], *, approximate: bool) -> Score:
    """Count the samples of a task, each of which has `finish_reason` and `output_tokens`."""
    filters = dict.fromkeys(sample["filter"] for sample in samples)
    headline = STRICT if STRICT in filters else next(iter(filters))
    first, flexible = ([s for s in samples if s["filter"] == name] for name in (headline, FLEXIBLE))
    completed = [sample for sample in first if sample["finish_reason"] != "length"]
    asked = result["n-samples"][task]
    return Score(
        task=task,
        version=result["versions"][task],
        n=len(first),
        limit=len(first) if asked["effective"] < asked["original"] else None,  # `--limit`, or lm-eval's `--samples`
        correct=_sum(first, "exact_match"),
        flexible_correct=_sum(flexible, "exact_match") if flexible else None,
        no_answer=_sum(first, "no_answer"),
        capped=len(first) - len(completed),
        completed_correct=_sum(completed, "exact_match"),
        timed_out=_sum(first, "timed_out"),
        mean_output_tokens=round(sum(sample["output_tokens"] for sample in first) / len(first), 1),
        approximate=approximate,
        command=_command(task, result),
        prompt=first[0]["doc"]["prompt"][0]["content"],
        gold=first[0]["doc"]["answer"],
        answer=first[0]["resps"][0][0],
    )


def digest(student: Path) -> str:
    """Return the SHA-256 over every file of a student's folder that decides what it answers.

    Raises:
        CotDistillError: there is no student, or its weights are not in safetensors (others may hold code).
    """
    if not (student / "config.json").is_file() or not any(student.glob("*.safetensors")):
        raise CotDistillError(
            f"There is no student in {student}: name a folder with config.json and *.safetensors, as "
            "`training/sft.py` writes it."
        )
    whole = sha256()
    for path in sorted(student.glob("[!.]*")):
        if path.suffix in _WHAT_ANSWERS and path.name != "provenance.json":
            with path.open("rb") as file:
                whole.update(f"{path.name} {file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def load_tokenizer(student: Path) -> PreTrainedTokenizerBase:
    """Return the student's tokenizer.

    Raises:
        CotDistillError: there is none that transformers loads.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(student)
    except (ValueError, OSError) as error:
        raise CotDistillError(f"{student} has no tokenizer that loads: {error}") from error


def _check_settings(path: Path, task: str, result: dict[str, Any]) -> None:
    given = dict(result["config"].get("gen_kwargs") or {})
    given.pop("max_gen_toks", None)
    if given or result["n-shot"][task] or result.get("system_instruction"):
        raise CotDistillError(f"{path} was not made zero-shot and greedy, as our tasks are: evaluate again.")


def _command(task: str, result: dict[str, Any]) -> str:
    """Return the command that makes the result again."""
    config = result["config"]
    limit = ["--limit", f"{config['limit']:g}"] if config["limit"] else []
    if OURS in result:
        return shlex.join([*result[OURS]["command"], *limit])
    arguments = config["model_args"]
    if isinstance(arguments, dict):
        arguments = ",".join(f"{name}={value}" for name, value in arguments.items())
    command = ["lm_eval", "--tasks", task, "--model", config["model"], "--model_args", arguments]
    if config.get("gen_kwargs"):
        limit += ["--gen_kwargs", f"max_gen_toks={config['gen_kwargs']['max_gen_toks']}"]
    return shlex.join([*command, "--batch_size", str(config["batch_size"]), "--apply_chat_template", *limit])


def _worked_out(sample: Sample, tokenizer: Any) -> Sample:
    """Return how an answer ended, from its text: what a model wrote may have been other tokens of the same text."""
    tokens = len(tokenizer.encode(sample["resps"][0][0], add_special_tokens=False))
    cap = sample["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"]
    if tokens >= cap:
        return {"output_tokens": cap, "finish_reason": "length"}
    return {"output_tokens": tokens + 1, "finish_reason": "stop"}


def _tasks(path: Path) -> list[str]:
    return [task for task in _load(path)["results"] if split_of(task) in TEST_SPLITS]


def _load(path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: result[key] for key in ("results", "versions", "config", "n-shot", "n-samples")} | result
    except (ValueError, KeyError, TypeError) as error:
        raise CotDistillError(f"{path} is no result of lm-eval ({error!r}): remove it, and evaluate again.") from error


def split_of(task: str) -> str:
    """Return the test split whose questions a task of ours asks."""
    return task.removeprefix("cot_").removesuffix("_paper")


def _sum(samples: Sequence[Sample], metric: str) -> int:
    return int(sum(sample.get(metric, 0) for sample in samples))

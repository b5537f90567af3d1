"""A student's results: lm-eval's files (`results_*.json` beside `samples_*.jsonl`) in its folder, counted as scores.

Every number is counted from the samples. `cot-distill evaluate` writes into each sample how the answer ended and how
many tokens it has. For results of the bare `lm_eval --log_samples`, both are estimated with the student's tokenizer.
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..benchmarks import TEST_SPLITS
from ..chat import OWN_TASK, template_sha256
from ..errors import CotDistillError
from ..messages import message
from ..names import SLUG
from ..provenance import PROVENANCE, Provenance, read_provenance
from .samples import (
    COT_DISTILL_KEY,
    RESULTS,
    find_results,
    load_result,
    load_samples,
    outcomes,
    readable,
    samples_file,
)
from .scores import Score


_TASK = re.compile(rf"cot_{SLUG.pattern}")
_HASHED_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}  # of the files that decide answers

Sample = dict[str, Any]


@dataclass(frozen=True)
class Student:
    """A student's folder, opened once: its weights are hashed once, and each results file is counted once."""

    folder: Path
    sha256: str  # of every file that decides what the student answers
    tokenizer: PreTrainedTokenizerBase
    provenance: Provenance | None  # None: not trained here
    scores: dict[tuple[Path, str], Score] = field(default_factory=dict, repr=False)  # by results file and task

    @classmethod
    def open(cls, folder: Path) -> "Student":
        """Open the student in `folder`.

        Raises CotDistillError if there is no student, its weights are not safetensors (other formats may hold code),
        its tokenizer cannot be loaded, or another version wrote its `provenance.json`.
        """
        return cls(folder, hash_files(folder), _load_tokenizer(folder), read_provenance(folder))


def read_scores(student: Student) -> list[Score]:
    """Return one score for each of our tasks in `{student}/results`, in the order of the benchmarks.

    If a task has several results, the one with the most questions is used, then the newest, so that a `--limit` run
    never replaces a full one. Results with exemplars are left out: a study asks its untrained base with some. Raises
    CotDistillError if there are no results, or one is invalid (`read_score`).
    """
    folder = student.folder / RESULTS
    files = [path for path in find_results(folder) if not (read_settings(path) or {}).get("exemplars")]
    if not files:
        raise CotDistillError(
            f"There are no results in {folder}: run `cot-distill evaluate {student.folder}`, or "
            f"`lm_eval … --apply_chat_template --log_samples --output_path {folder}`."
        )
    scores = [read_score(student, path, task) for path in files for task in _tasks(path)]
    best = {score.task: score for score in sorted(scores, key=lambda score: score.n)}
    numbers = {split: number for number, split in enumerate(TEST_SPLITS)}  # own benchmarks are behind them
    return sorted(best.values(), key=lambda score: (numbers.get(split_for_task(score.task), len(numbers)), score.task))


def read_settings(path: Path) -> dict[str, Any] | None:
    """Return the settings that `cot-distill evaluate` recorded in a results file; None if `lm_eval` wrote it.

    Raises CotDistillError if the file is broken.
    """
    entry = load_result(path).get(COT_DISTILL_KEY)
    return entry["settings"] if entry else None


def read_score(student: Student, path: Path, task: str) -> Score:
    """Read one task from a `results_*.json` and the samples beside it.

    Raises CotDistillError if the files cannot be read, have no samples, or were written under another chat template,
    with other weights, or not zero-shot and greedy.
    """
    if (path, task) in student.scores:
        return student.scores[path, task]
    result = load_result(path)
    if result.get("chat_template_sha") != template_sha256(student.tokenizer):
        raise CotDistillError(
            f"{path} was written under a different chat template than the student's, or under none: evaluate again, "
            "with `--apply_chat_template`."
        )
    entry = result.get(COT_DISTILL_KEY)
    if entry and entry["settings"]["student_sha256"] != student.sha256:
        raise CotDistillError(f"{path} was written by other weights than the student has now: evaluate again.")
    samples_path = samples_file(path, task)
    with readable(samples_path):
        _check_settings(path, task, result)
        samples = load_samples(samples_path)
        estimated = "finish_reason" not in samples[0]
        if not estimated and entry is None:
            raise ValueError(f"only `cot-distill evaluate` records `finish_reason`, and {path.name} is not its own")
        if estimated:
            samples = [sample | _estimate_finish(sample, student.tokenizer) for sample in samples]
        score = score_samples(student.folder, task, result, samples, estimated=estimated)
    student.scores[path, task] = score
    return score


def score_samples(
    student: Path, task: str, result: dict[str, Any], samples: Sequence[Sample], *, estimated: bool
) -> Score:
    """Count the samples of a task, each of which has `finish_reason` and `output_tokens`.

    Raises ValueError or TypeError if a sample has a value that neither lm-eval nor our grader writes.
    """
    for sample in samples:
        _check_text(sample)
    rows = outcomes(samples)
    first = samples[0]
    questions = result["n-samples"][task]
    if len(rows) != questions["effective"]:
        raise ValueError(f"{len(rows)} samples of {questions['effective']} questions")
    flexible = [row["flexible_correct"] for row in rows]
    return Score(
        student=student,
        task=f"cot_{_own_benchmark(result)}" if task == OWN_TASK else task,
        version=float(result["versions"][task]),
        n=len(rows),
        limit=len(rows) if questions["effective"] < questions["original"] else None,  # `--limit`, or `--samples`
        correct=sum(row["correct"] for row in rows),
        flexible_correct=None if None in flexible else sum(flexible),
        no_answer=sum(row["no_answer"] for row in rows),
        truncated=sum(row["truncated"] for row in rows),
        finished_correct=sum(row["correct"] and not row["truncated"] for row in rows),
        timed_out=sum(row["timed_out"] for row in rows),
        mean_output_tokens=round(sum(row["output_tokens"] for row in rows) / len(rows), 1),
        estimated=estimated,
        command=_command(student, task, result),
        prompt=first["doc"]["prompt"][0]["content"],
        gold=first["doc"]["answer"],
        answer=first["resps"][0][0],
    )


def split_for_task(task: str) -> str:
    """Return the test split that a task of ours asks."""
    return task.removeprefix("cot_").removesuffix("_paper")


def hash_files(folder: Path) -> str:
    """Return the hash of a student's weights, configuration, tokenizer and chat template."""
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise CotDistillError(
            f"There is no student in {folder}: pass a folder with config.json and *.safetensors, as "
            "a training writes it."
        )
    message(f"Hashing the files of {folder}.")
    digest = sha256()
    for path in hashed_files(folder):
        with path.open("rb") as file:
            digest.update(f"{path.name} {file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def hashed_files(folder: Path) -> list[Path]:
    """Return the files that decide what a student answers. Raises CotDistillError if one of them is not a file."""
    named = [path for path in sorted(folder.glob("[!.]*")) if path.suffix in _HASHED_SUFFIXES]
    paths = [path for path in named if path.name != PROVENANCE]
    if others := [path for path in paths if not path.is_file()]:  # a FIFO would be waited for
        raise CotDistillError(f"{others[0]} is not a file: train the student again, or move it away.")
    return paths


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, TypeError) as error:  # TypeError: config.json is not an object
        raise CotDistillError(f"Cannot load the tokenizer of {folder}: {error}") from error


def _check_settings(path: Path, task: str, result: dict[str, Any]) -> None:
    gen_kwargs = dict(result["config"].get("gen_kwargs") or {})
    gen_kwargs.pop("max_gen_toks", None)
    shots = len(result[COT_DISTILL_KEY]["settings"]["exemplars"]) if COT_DISTILL_KEY in result else 0
    if gen_kwargs or result["n-shot"][task] != shots or result.get("system_instruction"):
        raise CotDistillError(f"{path} was not evaluated zero-shot and greedy, as our tasks are: evaluate again.")


def _command(student: Path, task: str, result: dict[str, Any]) -> str:
    """Return the command that repeats the evaluation of a student, which may have been in another folder."""
    config = result["config"]
    limit = ["--limit", f"{config['limit']:g}"] if config["limit"] else []
    if COT_DISTILL_KEY in result:
        program, action, _, *options = result[COT_DISTILL_KEY]["command"]
        return shlex.join([program, action, str(student), *options, *limit])
    arguments = config["model_args"]
    if isinstance(arguments, dict):  # lm-eval splits `NAME=VALUE,…` at each comma, also of a path
        arguments = json.dumps(arguments | {"pretrained": str(student)}, ensure_ascii=False)
    command = ["lm_eval", "--tasks", task, "--model", config["model"], "--model_args", arguments]
    if config.get("gen_kwargs"):
        limit += ["--gen_kwargs", f"max_gen_toks={config['gen_kwargs']['max_gen_toks']}"]
    if task == OWN_TASK:
        limit += ["--metadata", json.dumps({"benchmark": _own_benchmark(result)})]
    return shlex.join([*command, "--batch_size", str(config["batch_size"]), "--apply_chat_template", *limit])


def _estimate_finish(sample: Sample, tokenizer: Any) -> Sample:
    """Estimate from its text how an answer ended. The student may have written the text in other tokens."""
    tokens = len(tokenizer.encode(sample["resps"][0][0], add_special_tokens=False))
    maximum = sample["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"]
    if tokens >= maximum:
        return {"output_tokens": maximum, "finish_reason": "length"}
    return {"output_tokens": tokens + 1, "finish_reason": "stop"}


def _tasks(path: Path) -> list[str]:
    result = load_result(path)
    tasks = [task for task in result["results"] if _TASK.fullmatch(task)]
    return [t for t in tasks if COT_DISTILL_KEY in result or t == OWN_TASK or split_for_task(t) in TEST_SPLITS]


def _own_benchmark(result: dict[str, Any]) -> str:
    """Return the benchmark that the bare `lm_eval` asked with `cot_own`. Raises ValueError if it is not an own one."""
    name = result["configs"][OWN_TASK]["metadata"]["benchmark"]
    if not SLUG.fullmatch(name) or name in TEST_SPLITS:  # these have a task with another limit of tokens
        raise ValueError(f"the benchmark {name!r}")
    return str(name)


def _check_text(sample: Sample) -> None:
    texts = [sample["doc"]["prompt"][0]["content"], sample["doc"]["answer"], sample["resps"][0][0]]
    "".join(texts).encode()  # a number is a TypeError, a lone surrogate a ValueError

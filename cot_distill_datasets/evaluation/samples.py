"""lm-eval's files: a `results_{date}.json` beside a `samples_{task}_{date}.jsonl` for each task."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CotDistillError
from ..files import recover


STRICT = "strict-match"  # the filter that decides a score, if a task has it
FLEXIBLE = "flexible-extract"
RESULTS = "results"  # the folder below a student that holds its results
COT_DISTILL_KEY = "cot_distill"  # the key of a results file that says how `cot-distill evaluate` wrote it
_RESULT_KEYS = ("results", "versions", "config", "n-shot", "n-samples")
# Raised by a file with a different layout.
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def find_results(folder: Path) -> list[Path]:
    """Return the results files in `folder` and below, the oldest first by the date in their names."""
    for old in folder.rglob(".*.old"):
        recover(old.with_name(old.name[1:].removesuffix(".old")))
    files = (path for path in folder.rglob("results_*.json") if "/." not in f"/{path.relative_to(folder)}")
    return sorted(files, key=lambda path: path.name)


def load_result(path: Path) -> dict[str, Any]:
    """Load a results file. Raises CotDistillError if it, or its entry of `cot-distill evaluate`, is broken."""
    try:
        if not path.is_file():  # a FIFO would be waited for
            raise TypeError("not a file")
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in _RESULT_KEYS:
            result[key].keys()
        if COT_DISTILL_KEY in result:
            result[COT_DISTILL_KEY]["settings"]["student_sha256"].encode()
            shlex.join(result[COT_DISTILL_KEY]["command"] + [])
        return result
    except _BROKEN as error:
        raise CotDistillError(
            f"{path} is not a whole results file of lm-eval ({repr(error)[:200]}): delete it."
        ) from error


def samples_file(path: Path, task: str) -> Path:
    """Return the samples of a task beside a results file. Raises CotDistillError if there are none."""
    samples = path.with_name(path.name.replace("results_", f"samples_{task}_", 1).replace(".json", ".jsonl"))
    if not samples.is_file():
        raise CotDistillError(f"{path} has no samples beside it: evaluate again, with `--log_samples`.")
    return samples


def load_samples(path: Path) -> list[dict[str, Any]]:
    """Load the lines of a samples file."""
    with path.open(encoding="utf-8") as lines:  # not `splitlines`: an answer may hold U+2028
        return [json.loads(line) for line in lines]


def outcomes(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per question: the headline filter's verdict, the flexible filter's, and how the answer ended.

    `flexible_correct` is null for a task with one filter. Every number of a report is computed from these rows. Raises
    ValueError, TypeError or LookupError if a sample has a value that neither lm-eval nor our grader writes.
    """
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    headline = STRICT if STRICT in filters else filters[0]
    flexible = {s["doc_id"]: _flag(s, "exact_match") for s in samples if s["filter"] == FLEXIBLE}
    return [
        {
            "id": sample["doc"]["id"],
            "correct": _flag(sample, "exact_match"),
            "flexible_correct": flexible[sample["doc_id"]] if flexible else None,
            "no_answer": _flag(sample, "no_answer"),
            "timed_out": "timed_out" in sample and _flag(sample, "timed_out"),  # a metric of LaTeX tasks
            "truncated": _ending(sample) == "length",
            "output_tokens": sample["output_tokens"],
        }
        for sample in samples
        if sample["filter"] == headline
    ]


def _flag(sample: dict[str, Any], metric: str) -> bool:
    if sample[metric] not in (0, 1):
        raise ValueError(f"{metric} is {sample[metric]!r}")
    return bool(sample[metric])


def _ending(sample: dict[str, Any]) -> Any:
    if sample["finish_reason"] not in ("stop", "length") or not 0 <= sample["output_tokens"] < 10**9:
        raise ValueError(f"finish_reason {sample['finish_reason']!r} after {sample['output_tokens']!r} tokens")
    return sample["finish_reason"]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise CotDistillError if what the block reads from `path` is not as lm-eval writes it."""
    try:
        yield
    except CotDistillError:
        raise
    except _BROKEN as error:
        reason = repr(error)[:200]  # that of a UnicodeError contains the text
        raise CotDistillError(f"Cannot read {path} ({reason}): delete its folder, then evaluate again.") from error

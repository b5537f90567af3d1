"""lm-eval's files: a `results_{date}.json` beside a `samples_{task}_{date}.jsonl` for each task."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CotDistillError
from ..files import recover


STRICT = "strict-match"  # the filter that decides a score, if a task has it
_RESULT_KEYS = ("results", "versions", "config", "n-shot", "n-samples")


def find_results(folder: Path) -> list[Path]:
    """Return the results files in `folder` and below, the oldest first by the date in their names."""
    for old in folder.rglob(".*.old"):
        recover(old.with_name(old.name[1:].removesuffix(".old")))
    files = (path for path in folder.rglob("results_*.json") if "/." not in f"/{path.relative_to(folder)}")
    return sorted(files, key=lambda path: path.name)


def load_result(path: Path) -> dict[str, Any]:
    """Load a results file. Raises CotDistillError if lm-eval did not write it, or not to its end."""
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: result[key] for key in _RESULT_KEYS} | result
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CotDistillError(f"{path} is not a results file of lm-eval ({error!r}): delete it.") from error


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


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise CotDistillError if what the block reads from `path` is not as lm-eval writes it."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, CotDistillError):
            raise
        raise CotDistillError(f"Cannot read {path} ({error!r}): delete its folder, then evaluate again.") from error

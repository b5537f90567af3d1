"""The functions that the task files in `eval_tasks/` name: test rows, targets, filters and metrics.

lm-eval calls each by its dotted name (`!function cot_distill_datasets.evaluation.tasks.process_results`).
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetsError

from ..benchmarks import BENCHMARKS, TEST_SPLITS
from ..chat import task_folder
from ..errors import CotDistillError
from ..grading import latex
from ..grading.answers import equivalent, extract
from ..names import RELEASE_NAME, eval_config
from ..release.folder import RELEASE_REVISION, find_release, require_release
from ..schema import FEATURES, Row, completion_text, eval_row
from ..sources.test_splits import embedded_split


def rows(
    benchmark: str, release: str | None = None, test_questions: int | None = None, **_: Any
) -> dict[str, Dataset]:
    """Return the test split of `benchmark` (or of `math500`), in the form of lm-eval's `custom_dataset`.

    It is read from the folder `release` (`--metadata '{"release": "DIR"}'`), else from `./eit/cot-distill`, else from
    the Hub at the version's tag. An embedded benchmark is generated, with `test_questions` questions (None: its own
    number). lm-eval also passes the model's arguments, which are ignored. Raises CotDistillError if the release folder
    has no test split of the benchmark.
    """
    if TEST_SPLITS[benchmark].embedded:
        items = embedded_split(benchmark, test_questions)
        return {"test": Dataset.from_list([eval_row(benchmark, item) for item in items], features=FEATURES)}
    folder, config = Path(release or RELEASE_NAME), eval_config(benchmark)
    index = require_release(folder) if release else find_release(folder)
    if index is None:
        try:
            return {"test": load_dataset(RELEASE_NAME, config, split="test", revision=RELEASE_REVISION)}
        except (OSError, ValueError, DatasetsError) as error:
            raise CotDistillError(
                f"There is no release in {folder}, and the Hub has no `{config}` at {RELEASE_REVISION}: run "
                "`cot-distill build --benchmarks DIR`, or pass the folder of a release as `--release`."
            ) from error
    if config not in {stats.name for stats in index.configs}:
        raise CotDistillError(
            f"The release in {folder} has no `{config}`: build it with `cot-distill build --benchmarks DIR`."
        )
    return {"test": load_dataset(str(folder), config, split="test")}


def groups() -> dict[str, list[str]]:
    """Return the tasks of each group in `eval_tasks/`, subgroups resolved. A group comes after its subgroups."""
    files = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(task_folder().glob("*.yaml")))
    members = {group["group"]: group["task"] for group in files}
    tasks = {group: _flatten(group, members) for group in members}
    return dict(sorted(tasks.items(), key=lambda item: len(item[1])))


def _flatten(name: str, members: dict[str, list[str]]) -> list[str]:
    return [task for member in members[name] for task in _flatten(member, members)] if name in members else [name]


def task_version(task: str) -> float:
    """Return the version in a task's YAML."""
    (path,) = task_folder().rglob(f"{task}.yaml")
    return float(path.read_text(encoding="utf-8").rpartition("version:")[2].split()[0])


def generation_limit(task: str) -> int:
    """Return the number of tokens that an answer may have in a task (`max_gen_toks`)."""
    from lm_eval.tasks._yaml_loader import load_yaml  # follows `include`

    (path,) = task_folder().rglob(f"{task}.yaml")
    return int(load_yaml(path, resolve_func=False)["generation_kwargs"]["max_gen_toks"])


def target(doc: Row) -> str:
    """Return the completion of a training row (an exemplar), or the closing sentence with a test row's gold."""
    return str(doc["completion"][0]["content"]) if doc["completion"] else completion_text(None, doc["answer"])


def exemplar_hash(row: Row) -> str:
    """Return the hash of an exemplar's text: rows of several configs have the same id."""
    return sha256(json.dumps([row["prompt"], row["completion"]]).encode()).hexdigest()[:16]


def strict_match(responses: list[list[str]], docs: list[Row]) -> list[str]:
    """Filter: the answer in each response's closing sentence, empty if there is none."""
    return _answers(responses, docs, strict=True)


def flexible_extract(responses: list[list[str]], docs: list[Row]) -> list[str]:
    """Filter: the same, except that a response without a closing sentence gives its last answer."""
    return _answers(responses, docs, strict=False)


def _answers(responses: list[list[str]], docs: list[Row], *, strict: bool) -> list[str]:
    return [
        extract(samples[0], BENCHMARKS[doc["benchmark"]].answer_kind, strict=strict) or ""  # greedy: one sample each
        for samples, doc in zip(responses, docs)
    ]


def process_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one filtered response: whether it equals the gold, and whether it has no answer."""
    kind = BENCHMARKS[doc["benchmark"]].answer_kind
    return {"exact_match": int(equivalent(results[0], doc["answer"], kind)), "no_answer": int(not results[0])}


def process_math_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one LaTeX response: the same, and whether its comparison timed out, which counts as wrong."""
    verdict = latex.verdict(results[0], doc["answer"])
    return {
        "exact_match": int(verdict == "same"),
        "no_answer": int(not results[0]),
        "timed_out": int(verdict == "timeout"),
    }

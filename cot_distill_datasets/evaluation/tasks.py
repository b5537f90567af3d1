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
from ..chat import OWN_TASK, task_file, task_folder
from ..errors import CotDistillError, nearest
from ..grading import latex
from ..grading.answers import equivalent, extract
from ..grading.conclusions import Kind
from ..names import EVAL_PREFIX, RELEASE_NAME, eval_config
from ..release.folder import RELEASE_REVISION, Release, find_release, require_release
from ..schema import FEATURES, Row, completion_text, eval_row
from ..sources.test_splits import embedded_split


_ANSWER_KIND = "answer_kind"  # the column that the test split of an own benchmark has besides those of the schema


def rows(
    benchmark: str = "", release: str | None = None, test_questions: int | None = None, **_: Any
) -> dict[str, Dataset]:
    """Return the test split of `benchmark` (or of `math500`), in the form of lm-eval's `custom_dataset`.

    It is read from the folder `release` (`--metadata '{"release": "DIR"}'`), else from `./eit/cot-distill`, else from
    the Hub at the version's tag. An embedded benchmark is generated, with `test_questions` questions (None: its own
    number). The benchmark of `cot_own` is in the metadata, and its answer kind, a further column, in the release.
    lm-eval also passes the model's arguments, which are ignored. Raises CotDistillError if the release folder has no
    test split of the benchmark.
    """
    if benchmark in TEST_SPLITS and TEST_SPLITS[benchmark].embedded:
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
        raise CotDistillError(_missing_split(benchmark, folder, index))
    split = load_dataset(str(folder), config, split="test")
    if own := index.own_benchmarks.get(benchmark):
        split = split.add_column(_ANSWER_KIND, [own["answer_kind"]] * len(split))
    return {"test": split}


def _missing_split(benchmark: str, folder: Path, index: Release) -> str:
    if benchmark in TEST_SPLITS:
        build = "build it with `cot-distill build --benchmarks DIR`"
        return f"The release in {folder} has no `{eval_config(benchmark)}`: {build}."
    own = own_splits(index)
    if not own:
        return f"The release in {folder} has no benchmark of your own: build it with `--rows` and `--test-rows`."
    return (
        f"`{OWN_TASK}` needs a benchmark of the release in {folder}, and {benchmark!r} is not one: pass "
        f"`--metadata '{{\"benchmark\": NAME}}'` with {nearest(benchmark, own)}."
    )


def own_splits(index: Release) -> list[str]:
    """Return the own benchmarks of a release that have a test split."""
    splits = {stats.name.removeprefix(f"{EVAL_PREFIX}-") for stats in index.configs if stats.split == "test"}
    return sorted(splits & index.own_benchmarks.keys())


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
    return float(task_file(task).read_text(encoding="utf-8").rpartition("version:")[2].split()[0])


def generation_limit(task: str) -> int:
    """Return the number of tokens that an answer may have in a task (`max_gen_toks`)."""
    from lm_eval.tasks._yaml_loader import load_yaml  # follows `include`

    return int(load_yaml(task_file(task), resolve_func=False)["generation_kwargs"]["max_gen_toks"])


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
        extract(samples[0], _kind(doc), strict=strict) or ""  # greedy: one sample each
        for samples, doc in zip(responses, docs)
    ]


def _kind(doc: Row) -> Kind:
    return BENCHMARKS[doc["benchmark"]].answer_kind if doc["benchmark"] in BENCHMARKS else doc[_ANSWER_KIND]


def process_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one filtered response: whether it equals the gold, and whether it has no answer."""
    is_right = equivalent(results[0], doc["answer"], _kind(doc))
    return {"exact_match": int(is_right), "no_answer": int(not results[0])}


def process_math_results(doc: Row, results: list[str]) -> dict[str, int]:
    """Score one LaTeX response: the same, and whether its comparison timed out, which counts as wrong.

    `cot_own` compares responses of other kinds without a time limit.
    """
    if _kind(doc) != "math":
        return process_results(doc, results) | {"timed_out": 0}
    verdict = latex.verdict(results[0], doc["answer"])
    return {
        "exact_match": int(verdict == "same"),
        "no_answer": int(not results[0]),
        "timed_out": int(verdict == "timeout"),
    }

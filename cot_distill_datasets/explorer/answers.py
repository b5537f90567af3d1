"""What students answered: the samples of `cot-distill evaluate`, and the outcomes of a study."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..benchmarks import TEST_SPLITS, benchmark_for_split
from ..errors import CotDistillError
from ..evaluation.samples import (
    COT_DISTILL_KEY,
    RESULTS,
    find_results,
    load_result,
    load_samples,
    outcomes,
    readable,
    samples_file,
)
from ..names import OUTCOMES
from ..studies.study import axis_texts


_UNKNOWN: dict[str, Any] = {"finish_reason": "stop", "output_tokens": 0}  # `lm_eval` does not record them
_TASKS = {f"cot_{split}{variant}": benchmark_for_split(split) for split in TEST_SPLITS for variant in ("", "_paper")}


class Samples(NamedTuple):
    """Where the answers of a student to the questions of a task are. A student asked with exemplars is another one."""

    student: str
    task: str
    path: Path


class Answer(NamedTuple):
    """A student's answer to a test question. `tokens` is 0 if they are unknown."""

    student: str
    task: str
    text: str
    correct: bool
    tokens: int
    notes: tuple[str, ...]  # `no answer`, `truncated`


def find_samples(folders: Sequence[Path]) -> tuple[Samples, ...]:
    """Return the samples of each student and task below `folders`: the newest of those with the most questions.

    Whether a student still has the weights and the chat template of its results is not checked: `results.read_score`
    does, with libraries that the page does not need. Raises CotDistillError if a folder has no results of our tasks,
    or a broken results file.
    """
    newest: dict[tuple[str, str], tuple[int, Path]] = {}
    for folder in folders:
        results = {path: load_result(path) for path in find_results(folder)}
        ours = [
            (path, task)
            for path, result in results.items()
            for task in result["results"]
            if task in _TASKS or COT_DISTILL_KEY in result
        ]
        if not ours:
            raise CotDistillError(f"There are no results in {folder}: run `cot-distill evaluate STUDENT` first.")
        for path, task in ours:
            with readable(path):
                key = (_label(path, results[path]["n-shot"][task]), task)
                questions = int(results[path]["n-samples"][task]["effective"])
            if key not in newest or questions >= newest[key][0]:
                newest[key] = (questions, samples_file(path, task))
    return tuple(Samples(student, task, path) for (student, task), (_, path) in sorted(newest.items()))


def _benchmark(task: str) -> str:
    """Return the benchmark that a task asks. That of a user's own one has its name."""
    return _TASKS.get(task, task.removeprefix("cot_"))


def _label(path: Path, shots: int) -> str:
    """Return the folder of the student whose results file `path` is."""
    folder = next((above.parent for above in path.parents if above.name == RESULTS), path.parent)
    return f"{folder}, {shots} shots" if shots else str(folder)


@lru_cache
def read_answers(samples: tuple[Samples, ...], benchmark: str) -> dict[str, list[Answer]]:
    """Return the answers to the questions of a benchmark, by question id.

    Raises CotDistillError if a samples file cannot be read.
    """
    answers: dict[str, list[Answer]] = {}
    for student, task, path in samples:
        if _benchmark(task) != benchmark:
            continue
        with readable(path):
            lines = [_UNKNOWN | line for line in load_samples(path)]
            texts = {line["doc"]["id"]: str(line["resps"][0][0]) for line in lines}
            for row in outcomes(lines):
                answer = Answer(student, task, texts[row["id"]], row["correct"], row["output_tokens"], _notes(row))
                answers.setdefault(row["id"], []).append(answer)
    return answers


def _notes(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in ("no_answer", "truncated") if row[name])


def _arm(row: Mapping[str, Any], axes: Sequence[str]) -> str:
    shots = [f"{row['shots']} shots"] if row["shots"] else []
    return ", ".join([row["config"], *shots, *axis_texts((axis, row[axis]) for axis in axes if row[axis])])


def read_study(folder: Path) -> pa.Table:
    """Return the outcomes of a study with the columns `place` (student and task), `arm`, `id` and `correct`.

    An arm is a config, for the untrained base with its number of exemplars, and the further axes with their values.
    Raises CotDistillError if the folder has no outcomes, or they are damaged.
    """
    path = folder / OUTCOMES
    if not path.is_file():
        raise CotDistillError(f"There is no {OUTCOMES} in {folder}: run `cot-distill study report` first.")
    try:
        table = pq.ParquetFile(path).read()
        names = table.column_names
        axes = names[names.index("task") + 1 : names.index("id")]
        arms = [_arm(row, axes) for row in table.select(["config", "shots", *axes]).to_pylist()]
        places = pc.binary_join_element_wise(table["student"], table["task"], " on ")
        columns = {
            "place": places, "arm": pa.array(arms),
            **{name: table[name] for name in ("key", "id", "benchmark", "correct", "output_tokens")},
        }  # fmt: skip
        return pa.table(columns)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CotDistillError(f"{path} is damaged: run `cot-distill study report` again.") from error

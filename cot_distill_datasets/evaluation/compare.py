"""Two results of the same tasks, compared question by question: which model is better, and which questions flipped.

The results may be of `cot-distill evaluate` or of the bare `lm_eval --log_samples`, of any task with a metric of 0 or
1 for each question. Each model was run once, so that nothing here covers other training seeds.
"""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import CotDistillError, nearest
from ..templates import printable, render_page
from .samples import STRICT, find_results, load_result, load_samples, readable, samples_file
from .scores import label
from .statistics import Answers, Contrast, SeedNoise, contrast, holm, mcnemar
from .verdicts import decide


BETTER, WORSE = "better", "worse"
_HEADLINES = ("exact_match", "acc")  # the metrics to choose first; lm-eval's own order otherwise
_COLUMN = 56  # characters of one answer beside another


@dataclass(frozen=True)
class Flip:
    """A question that one model answers and the other does not."""

    id: str
    question: str
    target: str
    correct: str  # `A` or `B`
    a: str
    b: str


@dataclass(frozen=True)
class TaskComparison:
    """Model B against model A on one task. `verdict` and `difference` (B − A) are about B.

    Accuracies and differences are shares: 0.05 is 5 points. `p` is McNemar's exact one, `adjusted_p` Holm's over the
    tasks. `interval` is Agresti & Min's at 95%. `detectable` is the smallest difference that this many questions
    find with 80% power. `different_settings` maps settings to those of A and B.
    """

    task: str
    version: Any
    metric: str
    filter: str
    questions: int
    accuracy_a: float
    accuracy_b: float
    only_a: int
    only_b: int
    difference: float
    interval: tuple[float, float]
    detectable: float
    p: float
    adjusted_p: float
    verdict: str
    different_settings: dict[str, tuple[Any, Any]]
    flips: list[Flip]


class _Answer(NamedTuple):
    """An answer to a question. `outcomes` has the value of each metric."""

    id: str
    question: str
    target: str
    text: str
    outcomes: dict[str, Any]


class _Run(NamedTuple):
    """One task of one results file."""

    path: Path
    task: str
    questions: int
    version: Any
    settings: dict[str, Any]  # how the questions were asked
    lower_is_better: set[str]  # metrics

    def answers(self, name: str | None = None) -> tuple[str, dict[Any, _Answer]]:
        """Return the filter `name` (by default the strict one, or the first) and its answers by question."""
        path = samples_file(self.path, self.task)
        with readable(path):
            samples = load_samples(path)
            filters = list(dict.fromkeys(sample["filter"] for sample in samples))
            name = name or (STRICT if STRICT in filters else filters[0])
            chosen = [sample for sample in samples if sample["filter"] == name]
            by_question = {_question(sample): _answer(sample) for sample in chosen}
        if not chosen or len(by_question) < len(chosen):
            raise CotDistillError(f"{path} has no filter `{printable(name)}` with each question once: evaluate again.")
        return name, by_question


class _Pair(NamedTuple):
    """Both runs of a task, with their answers paired by question."""

    a: _Run
    b: _Run
    metric: str
    filter: str
    answers: list[tuple[_Answer, _Answer]]

    @property
    def correct(self) -> Answers:
        """The outcomes of A and of B, `[model, question]`."""
        return np.array([[pair[model].outcomes[self.metric] for pair in self.answers] for model in (0, 1)], float)

    @property
    def contrast(self) -> Contrast:
        """B minus A."""
        a, b = self.correct[:, None]
        return contrast(b, a, SeedNoise(0.0, 0.0, math.inf))

    @property
    def flips(self) -> list[Flip]:
        """The questions that one model answers and the other does not."""
        return [
            Flip(a.id, a.question, a.target, "A" if a.outcomes[self.metric] else "B", a.text, b.text)
            for a, b in self.answers
            if a.outcomes[self.metric] != b.outcomes[self.metric]
        ]


def compare(a: Path, b: Path, margin: float, metric: str | None = None) -> list[TaskComparison]:
    """Compare the results in `b` with those in `a`, on every task of both.

    Raises CotDistillError if a folder has no results, or those of several models, or if the two share no task, or ran
    different versions of a task, other questions, or no metric `metric` of 0 and 1.
    """
    first, second = _open(a), _open(b)
    tasks = [task for task in first if task in second]
    if not tasks:
        raise CotDistillError(
            f"{a} has results of {_names(first)} and {b} of {_names(second)}: compare results of the same task."
        )
    pairs = [_pair(first[task], second[task], metric) for task in tasks]
    contrasts = [pair.contrast for pair in pairs]
    p_values = [mcnemar(*_count(pair.flips)) for pair in pairs]
    adjusted = holm(p_values)
    outside = holm([difference.p_outside(margin) for difference in contrasts])
    verdicts = [decide(BETTER, WORSE, *tests, margin) for tests in zip(contrasts, adjusted, outside)]
    return [_comparison(*values, len(pairs)) for values in zip(pairs, contrasts, p_values, adjusted, verdicts)]


def _comparison(
    pair: _Pair, difference: Contrast, p: float, adjusted_p: float, verdict: str, tests: int
) -> TaskComparison:
    a, b = pair.a, pair.b
    accuracy_a, accuracy_b = pair.correct.mean(1).tolist()
    only_a, only_b = _count(pair.flips)
    return TaskComparison(
        task=a.task,
        version=a.version,
        metric=pair.metric,
        filter=pair.filter,
        questions=len(pair.answers),
        accuracy_a=accuracy_a,
        accuracy_b=accuracy_b,
        only_a=only_a,
        only_b=only_b,
        difference=difference.difference,
        interval=difference.interval,
        detectable=difference.detectable(tests),
        p=p,
        adjusted_p=adjusted_p,
        verdict=verdict,
        different_settings={
            name: (value, b.settings[name]) for name, value in a.settings.items() if value != b.settings[name]
        },
        flips=pair.flips,
    )


def comparison_page(a: Path, b: Path, comparisons: Sequence[TaskComparison], *, flips: bool) -> str:
    """Return the comparison as Markdown. Text of models and files is shown as text, whatever it holds."""
    return render_page(
        "compare.md.jinja", a=label(a), b=label(b), comparisons=comparisons, flips=flips, columns=_columns
    )


def comparison_json(a: Path, b: Path, comparisons: Sequence[TaskComparison], *, flips: bool) -> str:
    """Return the comparison as JSON, in ASCII."""
    tasks = [asdict(comparison) for comparison in comparisons]
    for task in tasks if not flips else ():
        del task["flips"]
    return json.dumps({"a": str(a), "b": str(b), "tasks": tasks}, indent=2)


def _open(folder: Path) -> dict[str, _Run]:
    """Return the run of each task in a folder: the one with the most questions, then the newest."""
    files = [folder] if folder.is_file() else find_results(folder)
    if not files:
        raise CotDistillError(
            f"There are no results in {folder}: pass a folder that `cot-distill evaluate` or "
            "`lm_eval --log_samples --output_path` wrote."
        )
    results = {path: load_result(path) for path in files}
    models = {str(result.get("model_name")) for result in results.values()}
    if len(models) > 1 and not (folder / "config.json").is_file():  # a student may have been moved
        raise CotDistillError(f"{folder} has results of {len(models)} models: pass one of its folders or files.")
    runs: dict[str, _Run] = {}
    for path, result in results.items():
        with readable(path):
            for run in _runs(path, result):
                if run.task not in runs or run.questions >= runs[run.task].questions:
                    runs[run.task] = run
    return runs


def _runs(path: Path, result: dict[str, Any]) -> list[_Run]:
    directions = result.get("higher_is_better", {})
    shared = {
        "chat template": bool(result.get("chat_template_sha")),
        "system instruction": result.get("system_instruction"),
    }
    return [
        _Run(
            path,
            task,
            questions["effective"],
            result["versions"].get(task),
            {"n-shot": result["n-shot"].get(task), **shared},
            {metric for metric, higher in directions.get(task, {}).items() if higher is False},
        )
        for task, questions in result["n-samples"].items()
    ]


def _pair(a: _Run, b: _Run, metric: str | None) -> _Pair:
    """Pair the answers of two runs by question."""
    if a.version != b.version:
        raise CotDistillError(
            f"{a.path} has version {a.version!r} of `{printable(a.task)}` and {b.path} has version {b.version!r}: "
            "evaluate both with the same version."
        )
    name, first = a.answers()
    _, second = b.answers(name)
    if first.keys() != second.keys():
        raise CotDistillError(
            f"{a.path} has {len(first)} questions of `{printable(a.task)}` and {b.path} has {len(second)}, of which "
            f"{len(first.keys() & second.keys())} are the same: evaluate both on the same questions."
        )
    answers = [(answer, second[question]) for question, answer in first.items()]
    return _Pair(a, b, _choose_metric(a, answers, metric), name, answers)


def _choose_metric(run: _Run, answers: Sequence[tuple[_Answer, _Answer]], wanted: str | None) -> str:
    """Return `wanted`, or the first metric of the task that is 0 or 1 for every answer, and better if higher."""
    metrics = [
        metric
        for metric in answers[0][0].outcomes
        if metric not in run.lower_is_better
        and all(answer.outcomes.get(metric) in (0, 1) for pair in answers for answer in pair)
    ]
    metrics.sort(key=lambda metric: metric not in _HEADLINES)
    if metrics and wanted in (None, *metrics):
        return wanted or metrics[0]
    listed = f": use {printable(nearest(wanted or '', metrics))}" if metrics else ""
    raise CotDistillError(
        f"`{printable(run.task)}` has no metric{f' `{wanted}`' if wanted else ''} that is 0 or 1 for every answer of "
        f"both, and better if higher{listed}."
    )


def _count(flips: Sequence[Flip]) -> tuple[int, int]:
    """Return how many questions only A answers, and how many only B."""
    only_a = sum(flip.correct == "A" for flip in flips)
    return only_a, len(flips) - only_a


def _question(sample: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies a question: our `id` and gold, or the whole document of another task."""
    doc = sample["doc"]
    if isinstance(doc, dict) and {"id", "benchmark", "answer"} <= doc.keys():
        return str(doc["id"]), str(doc["answer"])
    return str(sample["doc_id"]), json.dumps([doc, sample["target"]], sort_keys=True)


def _answer(sample: dict[str, Any]) -> _Answer:
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {}
    return _Answer(
        id=str(doc.get("id", sample["doc_id"])),
        question=str(doc.get("question", sample["arguments"]["gen_args_0"]["arg_0"])),
        target=str(sample["target"]),
        text=_text(sample),
        outcomes={metric: sample[metric] for metric in sample["metrics"]},
    )


def _text(sample: dict[str, Any]) -> str:
    """Return what a model answered: its text, or the log-likelihood of each choice."""
    responses = [response[0] for response in sample["resps"]]
    if isinstance(responses[0], str):
        return responses[0]
    choices = [arguments["arg_1"] for arguments in sample["arguments"].values()]
    return "\n".join(f"{float(response[0]):9.3f} {choice}" for response, choice in zip(responses, choices))


def _names(tasks: dict[str, _Run]) -> str:
    return ", ".join(f"`{printable(task)}`" for task in tasks) or "no task"


def _columns(a: str, b: str) -> str:
    """Return two texts side by side, as a Markdown code block."""
    rows = zip_longest(_wrap(a), _wrap(b), fillvalue="")
    return "\n".join(f"    {left:{_COLUMN}} | {right}".rstrip() for left, right in rows)


def _wrap(text: str) -> list[str]:
    return [part for line in printable(text).split("\n") for part in textwrap.wrap(line, _COLUMN) or [""]]

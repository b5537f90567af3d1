"""The plan of a study: the rows, key and arguments of each cell, and the supervision that its arms share.

A cell's key is the hash of all that decides its student: the arguments, rows, chat template and base weights. Its
student is in `runs/cells/{key}`. A record's name adds the hash of what decides its result: the task, its version, its
questions, and the grader. So a new axis value, task or grader runs only what is new, on any machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..errors import CotDistillError
from ..evaluation.tasks import exemplar_hash, task_version
from ..files import find_file
from ..grading.answers import GRADER_VERSION
from ..names import ConfigName, student_dir, untrained_dir
from ..release.levels import separation
from ..training.data import load_rows, rows_hash, select_questions
from .keys import NOT_HASHED, base_hash, digest, questions_hash, recipe_arguments, recipe_template
from .questions import QUESTIONS, shared_questions
from .study import SHOTS, UNTRAINED, Cell, Study, axis_texts, load_study
from .tokens import completion_tokens


RECORDS = "records"
MATCH_LIMIT = 4  # an arm whose epochs would change by more than this factor cannot be matched by tokens


@dataclass(frozen=True)
class PlannedCell:
    """A cell that can be run: `arguments` are those of `training/sft.py`, `records` maps each task to a file name.

    `words` are the mean words of a rationale. Students of one `group` are evaluated together: they have the same
    architecture, tokenizer, chat template and tasks. `recipe` has the values of the arguments by name.
    """

    cell: Cell
    key: str
    arguments: list[str]
    records: dict[str, str]
    words: float
    group: str
    recipe: dict[str, Any]

    @property
    def student(self) -> Path:
        """The folder of the student."""
        return Path("runs", "cells", self.key)

    def missing_tasks(self, records: Path) -> list[str]:
        """Return the tasks that have no record in a folder."""
        return [task for task, name in self.records.items() if not (records / name).is_file()]

    @property
    def link(self) -> Path:
        """The link to the student, where a training without a study writes one: `runs/demo/oracle-l3-arith/seed1`."""
        cell = self.cell
        if cell.config == UNTRAINED:
            return untrained_dir(cell.label)
        config = ".".join([cell.config, *axis_texts(cell.axes)])
        return student_dir(cell.label, config.replace("/", "_"), cell.seed)


@dataclass(frozen=True)
class Plan:
    """All cells of a study, and why some cannot be run.

    `questions` has the shared ids of each benchmark, `missing` the reason for each cell that cannot be run, and
    `separation` the pairs of adjacent levels with the share of questions whose finer text is longer, and the median
    ratio of words. `rows` are the training rows of each config. `warnings` are for the dry run and the report.
    """

    study: Study
    folder: Path
    cells: list[PlannedCell]
    missing: dict[str, str]
    questions: dict[str, list[str]]
    separation: dict[tuple[str, str], tuple[float, float]]
    exemplars: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rows: dict[str, Dataset] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def records(self) -> Path:
        """The folder of the records."""
        return self.folder / RECORDS

    def record(self, planned: PlannedCell, task: str) -> Path:
        """Return the file of a cell's record on a task."""
        return self.records / planned.records[task]

    def is_complete(self, planned: PlannedCell) -> bool:
        """Whether the cell has all of its records."""
        return not planned.missing_tasks(self.records)

    def tokens(self, planned: PlannedCell) -> int:
        """Return the supervised tokens of a cell's training, over all epochs or steps."""
        if planned.cell.config == UNTRAINED:
            return 0
        tokens, recipe = completion_tokens(self.rows[planned.cell.config], planned.recipe), planned.recipe
        steps = int(recipe.get("max_steps") or 0)
        epochs = steps * int(recipe["effective_batch_size"]) / len(tokens) if steps > 0 else recipe["num_train_epochs"]
        return round(sum(tokens) * float(epochs))


def plan_file(file: str, folder: Path | None = None, *, rebase: bool = False) -> Plan:
    """Return the plan of a study file, or of a shipped one by its name, with its records in `folder`.

    The default is `runs/studies/{name}`. Raises CotDistillError as `load_study` and `make_plan` do.
    """
    study = load_study(find_file(file, "training/studies", ".yaml"))
    return make_plan(study, folder or Path("runs", "studies", study.name), rebase=rebase)


def make_plan(study: Study, folder: Path, *, rebase: bool = False) -> Plan:
    """Return the plan of a study whose records are in `folder`.

    Raises CotDistillError if the configs of a benchmark share too few questions for the exemplars, if a new config
    lacks questions that complete cells were trained on, unless `rebase`, or if two cells are the same training.
    """
    rows = {config: load_rows(config, study.dataset) for config in study.configs}
    questions = shared_questions(study, folder, rows, rebase=rebase) if study.questions == "shared" else {}
    if questions:
        rows = {config: select_questions(rows[config], questions[_benchmark(config)]) for config in rows}
    exemplars = {
        benchmark: _exemplars(rows[study.exemplar_config(benchmark)], benchmark)
        for benchmark in dict.fromkeys(map(_benchmark, rows))
    }
    hashes = {config: rows_hash(part) for config, part in rows.items()}
    words = {config: [len((text or "").split()) for text in part["rationale"][:]] for config, part in rows.items()}
    by_id = {ConfigName.parse(config): dict(zip(rows[config]["id"], counts)) for config, counts in words.items()}
    means = {config: statistics.fmean(counts) for config, counts in words.items()}
    files = {path.name.split(".")[-2]: path.name for path in sorted((folder / RECORDS).glob("*.*.parquet"))}
    planner = _Planner(study, folder, rows, hashes, means, exemplars, files)
    cells: list[PlannedCell] = []
    missing: dict[str, str] = {}
    warnings: dict[str, str] = {}
    for cell in study.cells:
        try:
            cells.append(planner.plan(cell))
        except (CotDistillError, OSError, ValueError) as error:
            is_unmatched_baseline = isinstance(error, _MatchError) and cell.is_baseline
            (warnings if is_unmatched_baseline else missing)[cell.name] = str(error).strip().partition("\n")[0]
    _check_keys(cells)
    return Plan(
        replace(study, cells=[cell for cell in study.cells if cell.name not in warnings]),
        folder, cells, missing, questions, separation(by_id), exemplars, rows,
        list(dict.fromkeys(warnings.values())),
    )  # fmt: skip


def _exemplars(rows: Dataset, benchmark: str) -> list[dict[str, Any]]:
    if len(rows) < max(SHOTS):
        raise CotDistillError(
            f"The configs of {benchmark} have {len(rows)} questions, but the untrained base is shown {max(SHOTS)} of "
            "them: use configs with more questions in common."
        )
    return list(rows.select(range(max(SHOTS))).to_list())


def _check_keys(cells: Iterable[PlannedCell]) -> None:
    """Reject two cells that are the same training, so that no student counts as two."""
    names: dict[str, str] = {}
    for planned in cells:
        name = planned.cell.name
        if planned.cell.config != UNTRAINED and (other := names.setdefault(planned.key, name)) != name:
            raise CotDistillError(f"The cells {other} and {name} are the same training: remove one of them.")


class _MatchError(CotDistillError):
    """A config that has too many or too few tokens for `budget: tokens`."""


def _benchmark(config: str) -> str:
    return ConfigName.parse(config).benchmark


@dataclass(frozen=True)
class _Planner:
    study: Study
    folder: Path
    rows: Mapping[str, Dataset]
    hashes: Mapping[str, str]
    words: Mapping[str, float]
    exemplars: Mapping[str, list[dict[str, Any]]]
    files: Mapping[str, str]  # the records that exist, by record key
    failures: dict[tuple[str, str], CotDistillError] = field(default_factory=dict)  # bases that cannot be loaded

    def plan(self, cell: Cell) -> PlannedCell:
        """Return the cell with its key. Raises an error if its rows, recipe or base model cannot be loaded."""
        if cell.config in self.study.absent:
            raise CotDistillError(
                f"The release has no {cell.config}, because {self.study.absent[cell.config]} was missing in its build."
            )
        if cell.benchmark not in self.exemplars:
            raise CotDistillError(f"The release has none of the study's configs of {cell.benchmark}.")
        path = find_file(cell.student, "training/recipes", ".yaml")
        recipe = recipe_arguments(path) | dict(cell.arguments)
        base = self._base(recipe["model_name_or_path"], recipe.get("model_revision") or "main")
        parts: dict[str, Any] = {
            "base": base,
            "template": recipe_template(recipe),
            "tokens": [recipe.get("eos_token"), recipe.get("pad_token")],
        }
        arguments = ["--config", str(path)]
        if cell.config == UNTRAINED:
            arguments += ["--untrained", "true"]
        else:
            recipe |= self._epochs(cell, recipe)
            parts |= {name: value for name, value in recipe.items() if not name.startswith(NOT_HASHED)}
            parts |= {"rows": self.hashes[cell.config], "seed": cell.seed, "config": cell.config}
            arguments += [
                "--dataset_name",
                self.study.dataset,
                "--dataset_config",
                cell.config,
                "--seed",
                str(cell.seed),
            ]
            arguments += [part for name, value in self._changed(cell, recipe) for part in (f"--{name}", value)]
            if self.study.questions == "shared":
                arguments += ["--question_ids", str(self.folder / QUESTIONS)]
        key = digest(parts)
        records = {task: self._record(key, cell, task) for task in self.study.tasks_of(cell)}
        group = digest([base, parts["template"], parts["tokens"], list(records)])
        arguments += ["--output_dir", f"runs/cells/{key}"]
        words = round(self.words.get(cell.config, 0.0), 1)
        return PlannedCell(cell, key, arguments, records, words, group, recipe)

    def _base(self, model: str, revision: str) -> str:
        """Return the hash of a base model. A failure is not repeated: without a network, each takes half a minute."""
        if (model, revision) not in self.failures:
            try:
                return base_hash(model, revision)
            except (CotDistillError, OSError, ValueError) as error:
                reason = str(error).strip().partition("\n")[0]
                self.failures[model, revision] = CotDistillError(f"The base {model} cannot be loaded: {reason}")
        raise self.failures[model, revision]

    def _changed(self, cell: Cell, recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
        changed = dict(cell.arguments)
        if self.study.budget == "tokens":
            changed["num_train_epochs"] = recipe["num_train_epochs"]
        return [
            (name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in changed.items()
        ]

    def _record(self, key: str, cell: Cell, task: str) -> str:
        """Return the file name of a record. One of another name counts: a further axis renames a cell."""
        record_key = self._record_key(key, cell, task)
        return self.files.get(record_key, f"{cell.name}.{task}.{record_key}.parquet")

    def _record_key(self, key: str, cell: Cell, task: str) -> str:
        exemplars = [exemplar_hash(row) for row in self.exemplars[cell.benchmark][: cell.shots]]
        questions = questions_hash(task, self.study.dataset, self.study.test_questions)
        return digest([key, task, task_version(task), GRADER_VERSION, questions, exemplars])

    def _epochs(self, cell: Cell, recipe: Mapping[str, Any]) -> dict[str, float]:
        """Return the epochs that give an arm as many supervised tokens as the reference arm."""
        if self.study.budget != "tokens":
            return {}
        if int(recipe.get("max_steps") or 0) > 0:
            raise CotDistillError("`budget: tokens` changes the epochs, which `max_steps` overrides: remove one.")
        arms = str(self.study.reference), cell.config
        reference, own = (sum(completion_tokens(self.rows[name], recipe)) for name in arms)
        factor = reference / own
        if not 1 / MATCH_LIMIT <= factor <= MATCH_LIMIT:
            raise _MatchError(
                f"{cell.config} cannot be matched: it would need {factor:.2f} times the epochs of "
                f"{self.study.reference} (allowed: {1 / MATCH_LIMIT:g} to {MATCH_LIMIT:g})."
            )
        return {"num_train_epochs": round(float(recipe["num_train_epochs"]) * factor, 3)}

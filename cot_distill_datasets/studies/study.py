"""A study file: which students are trained on which supervision, and how the results are compared.

    # training/studies/arith.yaml
    students: [demo]
    configs: [oracle-l*-arith]
    seeds: [1, 2, 3]
    learning_rate: [8.0e-4, 4.0e-4]     # any argument of training/sft.py is a further axis

Each combination is a cell. `also` lists further grids, which change some of the axes. The answer-only student and the
untrained base are in every study: without them nobody knows whether CoT helps, or whether training does.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ..chat import OWN_TASK, task_folder
from ..errors import CotDistillError, nearest
from ..evaluation.tasks import groups, own_splits
from ..names import RELEASE_NAME, ConfigName
from ..release.folder import Release, require_release
from ..training.recipes import check_type, read_mapping


UNTRAINED = "untrained"  # in place of a config: the base model
SHOTS = (0, 4)  # exemplars that the untrained base is shown; students are compared with the better of the two

_AXES: dict[str, Any] = {"students": list[str], "configs": list[str], "seeds": list[int]}
# Arguments that change the untrained base, with which students are compared.
_OF_BASE = ("model_name_or_path", "model_revision", "chat_template_path", "eos_token", "pad_token")


_ANSWERS = "answer-"  # begins the names of the configs without CoT


def answer_config(benchmark: str) -> str:
    """Return the config of a benchmark's answer-only student."""
    return f"{_ANSWERS}{benchmark}"


def axis_texts(axes: Iterable[tuple[str, str]]) -> list[str]:
    """Return further axes with their values as names and tables show them: `learning_rate=0.0004`."""
    return [f"{name}={value}" for name, value in axes]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a study: a student, trained on a config with a seed and arguments of `training/sft.py`.

    `config` is `untrained` for the base model, which has the seed 0 and is shown `shots` exemplars.
    """

    student: str
    config: str
    benchmark: str
    seed: int = 0
    shots: int = 0
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The name in tables and file names, such as `demo.oracle-l3-arith.seed1`."""
        end = [f"{self.shots}shot", self.benchmark] if self.config == UNTRAINED else [f"seed{self.seed}"]
        return ".".join([self.label, self.config, *axis_texts(self.axes), *end]).replace("/", "_")

    @property
    def axes(self) -> tuple[tuple[str, str], ...]:
        """The further axes with their values, as text."""
        return tuple((name, str(value)) for name, value in self.arguments)

    @property
    def is_baseline(self) -> bool:
        """Whether it is the untrained base, or an answer-only student, which are in every study."""
        return self.config == UNTRAINED or self.config.startswith(_ANSWERS)

    @property
    def label(self) -> str:
        """The student's name in tables: that of its recipe, without the folder."""
        return Path(self.student).stem if "/" in self.student else self.student


@dataclass(frozen=True, kw_only=True)
class Study:
    """The cells of a study file, and its settings.

    `margin` is in points of accuracy: arms that differ by less count as the same. `test_questions` is the number of
    test questions of an embedded benchmark (null: the task's own). `threads` are CPU threads of a cell (null: half of
    the cores), `gpus` its share of a GPU (0: the CPU only; default: one GPU, if this machine has one). `absent` has
    the configs that the release's manifest lists and the release lacks, each with its file.
    """

    name: str
    cells: list[Cell]
    tasks: list[str]  # empty: each cell's own benchmark
    dataset: str = RELEASE_NAME
    questions: str = "shared"
    budget: str = "examples"
    reference: str | None = None
    margin: float = 5.0
    test_questions: int | None = None
    backend: Literal["vllm", "hf"] = field(default_factory=lambda: "vllm" if find_spec("vllm") else "hf")
    threads: int | None = None
    gpus: float = field(default_factory=lambda: float(_has_gpu()))
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> list[Cell]:
        """The cells that are trained."""
        return [cell for cell in self.cells if cell.config != UNTRAINED]

    @property
    def configs(self) -> list[str]:
        """The configs of training rows that the release has."""
        return [config for config in dict.fromkeys(cell.config for cell in self.trained) if config not in self.absent]

    @property
    def cell_threads(self) -> int:
        """The CPU threads of a cell."""
        return self.threads or max((os.cpu_count() or 2) // 2, 1)

    def tasks_of(self, cell: Cell) -> list[str]:
        """Return the tasks that a cell is evaluated on."""
        return self.tasks or [f"cot_{cell.benchmark}"]

    def exemplar_config(self, benchmark: str) -> str:
        """Return the config whose first rows are the exemplars of the untrained base."""
        configs = [config for config in self.configs if ConfigName.parse(config).benchmark == benchmark]
        if self.reference in configs:
            return str(self.reference)
        return next((config for config in configs if config != answer_config(benchmark)), configs[0])


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


_SETTINGS = {name: hint for name, hint in get_type_hints(Study).items() if name not in ("name", "cells", "absent")}
_ALLOWED = {"questions": ("shared", "own"), "budget": ("examples", "tokens"), "backend": ("vllm", "hf")}
_LEAST = {"margin": 0, "test_questions": 1, "threads": 1, "gpus": 0}
_MOST = {"gpus": 1}  # a cell is one process


def load_study(path: Path) -> Study:
    """Read a study file.

    Raises CotDistillError if it cannot be read, has an unknown key, a wrong value, an axis that changes the base, a
    config that the release lacks, an own benchmark without a test split, two students with one name, or a cell twice.
    """
    content = read_mapping(path, "study")
    if not {*_AXES} <= content.keys():
        raise CotDistillError(f"The study {path} needs `students`, `configs` and `seeds`: see training/studies/.")
    settings = {name: content.pop(name) for name in _SETTINGS if name in content}
    _check_settings(path, settings)
    index = require_release(Path(settings.get("dataset", RELEASE_NAME)))
    settings["tasks"] = [task for name in settings.get("tasks", []) for task in _tasks(path, name, index)]
    also = content.pop("also", [])
    check_type(f"The study {path}", "also", also, list[dict[str, Any]])
    known = [*(stats.name for stats in index.training), *index.absent]
    cells = [cell for grid in ({}, *also) for cell in _cells(_axes(path, content | grid), known)]
    copies = [cell for number, cell in enumerate(cells) if cell in cells[:number] and not cell.is_baseline]
    if copies:
        raise CotDistillError(f"{path} names the cell {copies[0].name} twice: remove it from one of the grids.")
    students: dict[str, str] = {}
    for cell in cells:
        if (other := students.setdefault(cell.label, cell.student)) != cell.student:
            raise CotDistillError(f"{path} names two students {cell.label!r}, {other} and {cell.student}: rename one.")
    study = Study(name=path.stem, cells=list(dict.fromkeys(cells)), absent=index.absent, **settings)
    _check_reference(path, study)
    _check_own(path, study, index)
    return study


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Reject settings of a wrong type, and values that are not allowed."""
    for name, value in settings.items():
        if name in _ALLOWED and value not in _ALLOWED[name]:
            allowed = " or ".join(_ALLOWED[name])
            raise CotDistillError(f"{path}: `{name}: {value}` is unknown: use {allowed}.")
        check_type(f"The study {path}", name, value, _SETTINGS[name])
        least, most = _LEAST.get(name, -math.inf), _MOST.get(name, sys.float_info.max)
        if name in _LEAST and value is not None and not least <= value <= most:
            allowed = f"from {least} to {most}" if name in _MOST else f"of at least {least}"
            raise CotDistillError(f"{path}: `{name}: {value}` must be a number {allowed}.")


def _tasks(path: Path, name: str, index: Release) -> list[str]:
    """Return the tasks of a group, or the one that a name means, which may be that of an own benchmark."""
    names = {file.stem for file in task_folder().glob("cot_*/cot_*.yaml")} - {OWN_TASK}
    tasks = groups() | {task: [task] for task in (*names, *(f"cot_{benchmark}" for benchmark in own_splits(index)))}
    if name not in tasks:
        raise CotDistillError(f"{path} has the unknown task {name!r}: use {nearest(name, tasks)}.")
    return tasks[name]


def _check_reference(path: Path, study: Study) -> None:
    """Reject a reference that is not trained, and a budget of tokens without one reference for all cells."""
    if study.reference is not None and study.reference not in study.configs:
        near = nearest(study.reference, study.configs)
        raise CotDistillError(f"{path}: `reference: {study.reference}` is not among the configs: use {near}.")
    if study.budget == "tokens":
        if study.reference is None:
            raise CotDistillError(
                f"{path}: `budget: tokens` needs `reference:`, the config with the tokens of all arms."
            )
        if len(benchmarks := dict.fromkeys(cell.benchmark for cell in study.trained)) > 1:
            names = " and ".join(benchmarks)
            raise CotDistillError(f"{path}: `budget: tokens` has one reference: make a study for each of {names}.")


def _check_own(path: Path, study: Study, index: Release) -> None:
    """Reject a question set of the user's own that no task asks."""
    benchmarks = [] if study.tasks else [cell.benchmark for cell in study.cells]
    if untested := sorted({*benchmarks} & index.own_benchmarks.keys() - {*own_splits(index)}):
        raise CotDistillError(
            f"{path}: `{untested[0]}` has no test split: build it with `--test-rows N`, or name other `tasks`."
        )


def _axes(path: Path, grid: Mapping[Any, Any]) -> dict[str, list[Any]]:
    """Return the values of each axis of a grid. Raises CotDistillError for an unknown axis or a wrong value."""
    axes = {name: values if isinstance(values, list) else [values] for name, values in grid.items()}
    _check_keys(path, axes.keys() - _AXES.keys())
    for name, values in axes.items():
        if name in _AXES:
            check_type(f"The study {path}", name, values, _AXES[name])
        else:
            _check_values(path, name, values)
        if not values or len({*values}) < len(values):
            raise CotDistillError(f"{path}: `{name}: {values}` is empty or has a value twice.")
    return axes


def _check_keys(path: Path, keys: Iterable[Any]) -> None:
    """Reject a further axis that is not an argument of `training/sft.py`, or that changes the base."""
    for key in sorted(keys, key=str):
        if key in _OF_BASE:
            raise CotDistillError(
                f"{path}: `{key}` changes the untrained base, so it cannot be an axis: make a recipe for each value."
            )
        if key in _SETTINGS or key == "also":
            raise CotDistillError(f"{path}: `{key}` is for the whole study: write it outside of `also`.")
        import trl

        from ..training.arguments import SFTConfig

        arguments = {field.name for type_ in (SFTConfig, trl.ModelConfig) for field in dataclasses.fields(type_)}
        allowed = {*_AXES, *_SETTINGS, "also", *arguments} - {"seed", "output_dir", *_OF_BASE}
        if key not in allowed:
            raise CotDistillError(f"{path} has an unknown key {key!r}: use {nearest(str(key), allowed)}.")


def _check_values(path: Path, name: str, values: Iterable[Any]) -> None:
    """Reject values of an argument that a command line cannot pass. Text is parsed as there, so any is right."""
    from ..training.arguments import argument_types

    for value in values:
        if not isinstance(value, str | int | float):
            raise CotDistillError(f"{path}: `{name}` has the value {value}, which only a recipe can have.")
        if not isinstance(value, str):
            check_type(f"The study {path}", name, value, argument_types()[name])


def _cells(axes: Mapping[str, list[Any]], release: Sequence[str]) -> list[Cell]:
    """Return the cells of one grid, with those of the answer-only student and of the base."""
    configs = [name for pattern in axes["configs"] for name in _matches(pattern, release)]
    benchmarks = dict.fromkeys(ConfigName.parse(config).benchmark for config in configs)
    answers = [config for config in map(answer_config, benchmarks) if config in release]
    further = [[(name, value) for value in values] for name, values in axes.items() if name not in _AXES]
    cells = [
        Cell(student=student, config=config, benchmark=benchmark, shots=shots)
        for student in axes["students"]
        for benchmark in benchmarks
        for config, shots in itertools.product([UNTRAINED], SHOTS)
    ]
    for student, config in itertools.product(axes["students"], dict.fromkeys([*configs, *answers])):
        benchmark = ConfigName.parse(config).benchmark
        for *values, seed in itertools.product(*further, axes["seeds"]):
            arguments = tuple(sorted(values))
            cells.append(Cell(student=student, config=config, benchmark=benchmark, seed=seed, arguments=arguments))
    return cells


def _matches(pattern: str, release: Sequence[str]) -> list[str]:
    """Return the configs that a pattern such as `oracle-l*-arith` matches, or the one that a name means."""
    if "*" in pattern:
        parts = pattern.split("-")  # a `*` stands for one part, so that `oracle-l*-arith` has no formats
        split = {name: name.split("-") for name in release}
        matches = [n for n, own in split.items() if len(own) == len(parts) and all(map(fnmatchcase, own, parts))]
    else:
        matches = [name for name in [str(ConfigName.parse(pattern))] if name in release]
    if not matches:
        raise CotDistillError(f"The release has no config {pattern!r}: use {nearest(pattern, release)}.")
    return matches

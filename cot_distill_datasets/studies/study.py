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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import CotDistillError, nearest
from ..evaluation.tasks import groups
from ..names import RELEASE_NAME, ConfigName
from ..release.folder import require_release


UNTRAINED = "untrained"  # in place of a config: the base model
SHOTS = (0, 4)  # exemplars that the untrained base is shown; students are compared with the better of the two

_AXES = ("students", "configs", "seeds")


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
        arguments = [f"{name}={value}" for name, value in self.arguments]
        return ".".join([self.label, self.config, *arguments, *end]).replace("/", "_")

    @property
    def label(self) -> str:
        """The student's name in tables: that of its recipe, without the folder."""
        return Path(self.student).stem if "/" in self.student else self.student


@dataclass(frozen=True, kw_only=True)
class Study:
    """The cells of a study file, and its settings.

    `margin` is in points of accuracy: arms that differ by less count as the same. `test_questions` is the number of
    test questions of an embedded benchmark (null: the task's own). `threads` are CPU threads of a cell (null: half of
    the cores), `gpus` its share of a GPU.
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
    backend: Literal["vllm", "hf"] = "vllm"
    threads: int | None = None
    gpus: float = 0.0

    @property
    def trained(self) -> list[Cell]:
        """The cells that are trained."""
        return [cell for cell in self.cells if cell.config != UNTRAINED]

    def tasks_of(self, cell: Cell) -> list[str]:
        """Return the tasks that a cell is evaluated on."""
        return self.tasks or [f"cot_{cell.benchmark}"]

    def exemplar_config(self, benchmark: str) -> str:
        """Return the config whose first rows are the exemplars of the untrained base."""
        configs = [cell.config for cell in self.trained if cell.benchmark == benchmark]
        if self.reference in configs:
            return str(self.reference)
        return next((config for config in configs if not config.startswith("answer-")), configs[0])


_SETTINGS = [field.name for field in dataclasses.fields(Study) if field.name not in ("name", "cells")]
_ALLOWED = {"questions": ("shared", "own"), "budget": ("examples", "tokens"), "backend": ("vllm", "hf")}


def load_study(path: Path) -> Study:
    """Read a study file.

    Raises CotDistillError if it cannot be read, has an unknown key or value, names a config that the release lacks, a
    seed twice, or a cell twice.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CotDistillError(f"Cannot read the study {path}: {reason}") from error
    if not isinstance(content, dict) or not {*_AXES} <= content.keys():
        raise CotDistillError(f"The study {path} needs `students`, `configs` and `seeds`: see training/studies/.")
    settings = {name: content.pop(name) for name in _SETTINGS if name in content}
    for name, allowed in _ALLOWED.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise CotDistillError(f"{path}: `{name}: {settings[name]}` is unknown: use {' or '.join(allowed)}.")
    tasks = [task for name in settings.pop("tasks", []) for task in groups().get(name, [name])]
    grids = [content] + [content | grid for grid in content.pop("also", [])]
    _check_keys(path, {key for grid in grids for key in grid})
    present = [stats.name for stats in require_release(Path(settings.get("dataset", RELEASE_NAME))).training]
    cells = [cell for grid in grids for cell in _cells(path, grid, present)]
    repeated = [cell for number, cell in enumerate(cells) if cell in cells[:number] and not _is_baseline(cell)]
    if repeated:
        raise CotDistillError(f"{path} names the cell {repeated[0].name} twice: remove it from one of the grids.")
    return Study(name=path.stem, cells=list(dict.fromkeys(cells)), tasks=tasks, **settings)


def _is_baseline(cell: Cell) -> bool:
    return cell.config == UNTRAINED or cell.config.startswith("answer-")


def _check_keys(path: Path, keys: Iterable[str]) -> None:
    """Reject a key that is neither an axis of every study, a setting, nor an argument of `training/sft.py`."""
    if further := sorted({*keys} - {*_AXES}):
        import trl

        from ..training.arguments import SFTConfig

        arguments = {field.name for type_ in (SFTConfig, trl.ModelConfig) for field in dataclasses.fields(type_)}
        allowed = {*_AXES, *_SETTINGS, "also", *arguments} - {"seed", "output_dir"}
        if unknown := [key for key in further if key not in allowed]:
            raise CotDistillError(f"{path} has an unknown key {unknown[0]!r}: use {nearest(unknown[0], allowed)}.")


def _cells(path: Path, grid: Mapping[str, Any], present: Sequence[str]) -> list[Cell]:
    """Return the cells of one grid, with those of the answer-only student and of the base."""
    axes = {name: values if isinstance(values, list) else [values] for name, values in grid.items()}
    for name, values in axes.items():
        if not values or len({*map(str, values)}) < len(values):
            raise CotDistillError(f"{path}: `{name}: {values}` is empty or has a value twice.")
    configs = [name for pattern in axes["configs"] for name in _matches(pattern, present)]
    benchmarks = dict.fromkeys(ConfigName.parse(config).benchmark for config in configs)
    answers = [f"answer-{benchmark}" for benchmark in benchmarks if f"answer-{benchmark}" in present]
    further = [[(name, value) for value in values] for name, values in axes.items() if name not in _AXES]
    cells = [
        Cell(student=student, config=config, benchmark=benchmark, shots=shots)
        for student in axes["students"]
        for benchmark in benchmarks
        for config, shots in itertools.product([UNTRAINED], SHOTS)
    ]
    for student, config in itertools.product(axes["students"], dict.fromkeys([*configs, *answers])):
        benchmark = ConfigName.parse(config).benchmark
        for *arguments, seed in itertools.product(*further, axes["seeds"]):
            chosen = tuple(sorted(arguments))
            cells.append(Cell(student=student, config=config, benchmark=benchmark, seed=seed, arguments=chosen))
    return cells


def _matches(pattern: str, present: Sequence[str]) -> list[str]:
    """Return the configs that a pattern such as `oracle-l*-arith` matches, or the one that a name means."""
    if "*" in pattern:
        parts = pattern.split("-")  # a `*` stands for one part, so that `oracle-l*-arith` has no formats
        split = {name: name.split("-") for name in present}
        matches = [n for n, own in split.items() if len(own) == len(parts) and all(map(fnmatchcase, own, parts))]
    else:
        matches = [name for name in [str(ConfigName.parse(pattern))] if name in present]
    if not matches:
        raise CotDistillError(f"The release has no config {pattern!r}: use {nearest(pattern, present)}.")
    return matches

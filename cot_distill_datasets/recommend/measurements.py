"""Measurements: what finished studies measured with a student, which no plan is needed to read."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import CotDistillError
from ..names import OUTCOMES
from ..studies.findings import Section, find
from ..studies.plan import RECORDS
from ..studies.records import read_record
from ..studies.study import axis_texts
from ..templates import printable


SIZE_FACTOR = 3.0  # students whose parameters differ by at most this factor are of one size


class Measurement(NamedTuple):
    """A student of a finished study, with one value of each further axis."""

    study: str
    section: Section
    parameters: int

    @property
    def student(self) -> str:
        """The student's name: that of its recipe."""
        return self.section.place.student

    @property
    def name(self) -> str:
        """The name of the student and of what it was measured on: two studies may have both in common."""
        axes = axis_texts(self.section.axes)
        return printable(" ".join([self.student, "on", self.section.place.task, *axes, "in study", self.study]))

    @property
    def configs(self) -> list[str]:
        """The configs with CoT that students were trained on."""
        return [config for config in self.section.arms if config != self.section.answer_only]

    @property
    def baseline(self) -> float:
        """The accuracy of the untrained base, with or without exemplars, whichever is higher."""
        return max(arm.accuracy for arm in self.section.baselines.values())

    @property
    def best(self) -> tuple[str, float]:
        """The config of the most accurate students, which may be the answer-only one, and their accuracy."""
        return max(((config, arm.accuracy) for config, arm in self.section.arms.items()), key=lambda pair: pair[1])


def read_study(folder: Path) -> list[Measurement]:
    """Return what a study measured: `outcomes.parquet`, and the sizes of the students from the records beside it.

    Raises CotDistillError if the folder has no outcomes, or a file is damaged.
    """
    path = folder / OUTCOMES
    if not path.is_file():
        raise CotDistillError(
            f"{folder} is not a finished study: it has no {OUTCOMES}, which `cot-distill study report` writes."
        )
    try:
        outcomes = pq.read_table(path)
        sections = find(outcomes, {}, margin=0)
        cells = outcomes.group_by(["key", "student"]).aggregate([]).to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise CotDistillError(f"{path} is damaged: run `cot-distill study report` again.") from error
    records = [read_record(record)[1] for record in sorted((folder / RECORDS).glob("*.parquet"))]
    trained = {facts["key"]: facts["provenance"] for facts in records if facts["provenance"]}
    sizes = {cell["student"]: trained[cell["key"]]["parameters"] for cell in cells if cell["key"] in trained}
    name = folder.resolve().name
    return [Measurement(name, section, sizes.get(section.place.student, 0)) for section in sections if section.arms]


def of_size(measurements: Iterable[Measurement], parameters: int) -> list[Measurement]:
    """Return the students of the size of one with `parameters`. Those of an unknown size, 0, are left out."""
    return [m for m in measurements if parameters <= SIZE_FACTOR * m.parameters <= SIZE_FACTOR**2 * parameters]

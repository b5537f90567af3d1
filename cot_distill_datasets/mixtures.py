"""Which configs supply the training rows: one, or several by weight.

>>> mixture = Mixture.parse("0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp")
>>> str(mixture), mixture.folder
('0.2*gpt4o-l5-svamp+0.8*gpt4o-l1-svamp', '0.2-gpt4o-l5-svamp+0.8-gpt4o-l1-svamp')

Source of the idea, and of 0.2 fine to 0.8 coarse as a start for small students: "Small Models Struggle to Learn from
Strong Reasoners" (arXiv 2502.12143, Mix-Long).
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .taxonomy import ConfigName, CotDistillError


if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Mixture:
    """Configs of one benchmark with their weights, which sum to 1; a single config has the weight 1.

    Raises:
        CotDistillError: a weight is no share, a config is named twice, or the benchmarks differ.
    """

    configs: tuple[ConfigName, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(not 0 < weight <= 1 for weight in self.weights) or not math.isclose(sum(self.weights), 1):
            raise CotDistillError(
                f"The weights {', '.join(f'{weight:g}' for weight in self.weights)} of a mixture are to be above 0 "
                "and to sum to 1: write `0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp`."
            )
        if len(set(self.configs)) < len(self.configs):
            raise CotDistillError(f"A config stands twice in the mixture `{self}`: add its weights up.")
        if len({config.benchmark for config in self.configs}) > 1:
            raise CotDistillError(
                f"The configs of `{self}` are of several benchmarks: a mixture takes each question of one benchmark "
                "from one of its configs."
            )

    @classmethod
    def parse(cls, text: str) -> Mixture:
        """Read a config name, or `WEIGHT*CONFIG + WEIGHT*CONFIG + …`."""
        parts = [part.strip().rpartition("*") for part in text.split("+")]
        try:
            weights = tuple(float(weight) if star else 1.0 for weight, star, _ in parts)
        except ValueError as error:
            raise CotDistillError(
                f"{text!r} has a weight that is no number: write `0.2*CONFIG + 0.8*CONFIG`."
            ) from error
        return cls(tuple(ConfigName.parse(name.strip()) for _, _, name in parts), weights)

    def __str__(self) -> str:
        if len(self.configs) == 1:
            return str(self.configs[0])
        return "+".join(f"{weight!r}*{config}" for weight, config in zip(self.weights, self.configs))

    @property
    def folder(self) -> str:
        """The name of the mixture's folder below a student: a shell reads `*` as a pattern."""
        return str(self).replace("*", "-")

    @property
    def benchmark(self) -> str:
        """The benchmark of all its configs."""
        return self.configs[0].benchmark


def mix(rows: list[Dataset], mixture: Mixture, *, seed: int) -> Dataset:
    """Return the rows of a mixture: each question once, from the config that a seeded hash of its `id` decides.

    A question that not all configs have is taken from those that have it, by their weights; of a question that a
    config has twice the first row is taken. The rows of a single config are returned as they are.
    """
    from datasets import concatenate_datasets

    if len(rows) == 1:
        return rows[0]
    index: dict[str, dict[int, int]] = {}  # id → config → row in the concatenation
    starts = itertools.accumulate((len(part) for part in rows), initial=0)
    for number, (part, start) in enumerate(zip(rows, starts)):
        for row, id_ in enumerate(part["id"], start):
            index.setdefault(id_, {}).setdefault(number, row)
    chosen = []
    for id_, of_config in index.items():
        weights = [mixture.weights[number] for number in of_config]
        # A string seeds by its SHA-512, on every machine the same (CPython, `random.seed`).
        chosen += random.Random(f"{seed} {id_}").choices(list(of_config.values()), weights)
    return concatenate_datasets(rows).select(chosen)


def coarse_to_fine(rows: Dataset, *, seed: int) -> Dataset:
    """Return rows ordered by granularity, from tersest to finest; within one granularity shuffled by `seed`.

    Raises:
        CotDistillError: all rows are of one granularity.
    """
    if len(set(rows["granularity"])) < 2:
        raise CotDistillError("`coarse_to_fine` orders granularities, and all rows are of one: name a mixture.")
    shuffled = rows.shuffle(seed=seed)
    levels = shuffled["granularity"]
    return shuffled.select(sorted(range(len(shuffled)), key=lambda row: levels[row]))

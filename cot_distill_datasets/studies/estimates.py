"""How long the trainings of a study take: measured by its complete cells, or estimated from a student's size."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence

from ..training.arguments import SFTConfig
from .cells import is_trained
from .plan import Plan, PlannedCell
from .records import read_record
from .study import UNTRAINED


# For students without a complete cell: floating-point operations per second that a training is assumed to reach on an
# H100 (40 % of its bf16 peak) and on a CPU core, per parameter and token (Kaplan et al. 2020, arXiv 2001.08361), and
# tokens of a row per supervised one.
_GPU_SPEED, _CORE_SPEED, _OPERATIONS, _TOKENS_PER_SUPERVISED = 4e14, 5e10, 6, 3
_SIZE = re.compile(r"(\d+)([mb])(\d*)(?![a-z])")  # `smollm2-135m`, `llama-3.2-1b`, `bloom-1b7`
_DEMO_PARAMETERS = 1e6
_TOKENS_PER_WORD = 1.6  # of a completion: 1.2 to 2.0 in eight configs of the paper, tokenized for SmolLM2-135M


def training_seconds(plan: Plan, cells: Sequence[PlannedCell]) -> list[float]:
    """Return the seconds that the training of each cell is expected to take: 0 if its student is trained."""
    speeds = {student: _seconds_per_token(plan, student) for student in {planned.cell.student for planned in cells}}
    return [0.0 if is_trained(planned) else plan.tokens(planned) * speeds[planned.cell.student] for planned in cells]


def unplanned_seconds(plan: Plan) -> float:
    """Return the seconds that the cells that cannot be run yet are expected to take, with the default epochs.

    A base model that cannot be loaded has no tokenizer, so that words are counted. A config that the release lacks
    counts as the mean of the others.
    """
    words = {
        config: sum(len(turns[0]["content"].split()) for turns in rows["completion"][:])
        for config, rows in plan.rows.items()
    }
    mean = statistics.fmean(words.values()) if words else 0.0
    missing: dict[str, float] = defaultdict(float)  # words by student, whose speed is read once
    for cell in plan.study.trained:
        if cell.name in plan.missing:
            missing[cell.student] += words.get(cell.config, mean)
    per_word = _TOKENS_PER_WORD * float(SFTConfig.num_train_epochs)
    return sum(count * per_word * _seconds_per_token(plan, student) for student, count in missing.items())


def _seconds_per_token(plan: Plan, student: str) -> float:
    """Return the seconds of training per supervised token: measured by complete cells, or estimated from the size."""
    seconds, tokens = 0.0, 0
    for planned in plan.cells:
        if planned.cell.student == student and planned.cell.config != UNTRAINED and plan.is_complete(planned):
            _, facts = read_record(plan.record(planned, next(iter(planned.records))))
            seconds, tokens = seconds + facts["provenance"]["train_seconds"], tokens + plan.tokens(planned)
    if tokens:
        return seconds / tokens
    speed = _GPU_SPEED * plan.study.gpus or _CORE_SPEED * plan.study.cell_threads
    return _OPERATIONS * _parameters(student) * _TOKENS_PER_SUPERVISED / speed


def _parameters(student: str) -> float:
    if not (size := _SIZE.search(student)):
        return _DEMO_PARAMETERS
    number, unit, decimals = size.groups()
    return float(f"{number}.{decimals or 0}") * {"m": 1e6, "b": 1e9}[unit]

"""Finished studies whose accuracies are known, and scores that predict them or do not."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from outcomes import first_correct, outcome_table
from score_tables import score_table

from cot_distill_datasets.recommend.measurements import Measurement
from cot_distill_datasets.recommend.ranking import read_sums
from cot_distill_datasets.recommend.validation import Validation, validate
from cot_distill_datasets.studies.findings import find


LEVELS = [f"oracle-l{level}-arith" for level in range(1, 7)]
FORMATS = [f"oracle-l3-{format_}-arith" for format_ in ("l2m", "rar", "symbolic")]
CORRECT = dict(zip(LEVELS + FORMATS, (10, 20, 35, 45, 60, 70, 80, 90, 97)))  # of 100 questions, from worst to best


def measure(outcomes: pa.Table, parameters: int = 1000) -> Measurement:
    """Return what the outcomes of one student measured."""
    (section,) = find(outcomes, {}, 0)
    return Measurement("study", section, parameters)


def finished_study(
    correct: Mapping[str, int | tuple[int, ...]], student: str = "demo", shuffled: bool = False
) -> Measurement:
    """Return a study whose students of a config answer so many of 100 questions correctly, one for each seed.

    They are the first ones, or, if `shuffled`, others for each config.
    """
    arms = {name: first_correct(*np.atleast_1d(number)) for name, number in correct.items()}
    if shuffled:
        arms = {name: np.random.default_rng(n).permuted(arm, axis=1) for n, (name, arm) in enumerate(arms.items())}
    return measure(outcome_table(arms | {"answer-arith": first_correct(99)}, {"student": student}))


def try_validation(
    scores: Mapping[str, Sequence[float]], study: Measurement | None = None, noise: float = 0.0
) -> Validation | None:
    """Return the validation of scores, which have the values of the configs in the order of `CORRECT`."""
    random = np.random.default_rng(0)
    columns = {
        score: {config: list(value + noise * random.standard_normal(40)) for config, value in zip(CORRECT, values)}
        for score, values in scores.items()
    }
    return validate(study or finished_study(CORRECT), read_sums(score_table(columns)))


def validation(
    scores: Mapping[str, Sequence[float]], study: Measurement | None = None, noise: float = 0.0
) -> Validation:
    """Return the validation of scores of at least three configs, as `try_validation` does."""
    result = try_validation(scores, study, noise)
    assert result is not None
    return result

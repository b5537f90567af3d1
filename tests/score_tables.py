"""Tables of scores, as `recommend` computes them, whose values are known."""

from collections.abc import Mapping, Sequence

import pyarrow as pa


def score_table(scores: Mapping[str, Mapping[str, Sequence[float | tuple[float, float]]]]) -> pa.Table:
    """Return the lines of scores, by score and config a value of each question, or its numerator and denominator."""
    lines = [
        {"config": config, "id": f"q{number:04}", "score": score, "numerator": terms[0], "denominator": terms[1]}
        for score, configs in scores.items()
        for config, values in configs.items()
        for number, value in enumerate(values)
        for terms in [value if isinstance(value, tuple) else (value, 1.0)]
    ]
    return pa.Table.from_pylist(lines)

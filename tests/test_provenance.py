"""A student's provenance is read whole, or not at all."""

from pathlib import Path

import pytest
from support import make_provenance

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.provenance import read_provenance


OWN = {"answer_kind": "number", "license": "mit", "home": "rows.jsonl"}


def test_a_student_of_an_own_benchmark_knows_its_answer_kind(tmp_path: Path) -> None:
    make_provenance(config="qwen3-l3-shop", own_benchmark=OWN).write(tmp_path)
    provenance = read_provenance(tmp_path)
    assert provenance is not None and provenance.benchmark.answer_kind == "number"


@pytest.mark.parametrize(
    "values",
    [
        {"config": "qwen3-l3-shop"},
        {"config": "qwen3-l3-shop", "own_benchmark": OWN | {"answer_kind": "any"}},
        {"config": "qwen3-l3-shop", "own_benchmark": OWN | {"run": "x"}},
        {"config": "qwen3-l3-shop", "own_benchmark": ["number"]},
        {"config": 5},
        {"config": "no config"},
    ],
)
def test_a_benchmark_that_is_not_described_is_an_error_that_names_the_file(
    values: dict[str, object], tmp_path: Path
) -> None:
    make_provenance(**values).write(tmp_path)
    with pytest.raises(CotDistillError, match=r"provenance\.json"):
        read_provenance(tmp_path)

"""How long a study takes: measured by its complete cells, or estimated."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from outcomes import answer_rows
from support import ROOT, make_provenance

from cot_distill_datasets.studies import estimates
from cot_distill_datasets.studies.estimates import training_seconds, unplanned_seconds
from cot_distill_datasets.studies.plan import Plan
from cot_distill_datasets.studies.records import read_record, write_record
from cot_distill_datasets.studies.status import plan_page


def test_a_trained_student_takes_no_more_training(plan: Callable[..., Plan]) -> None:
    made = plan()
    *_, cot, answer = made.cells
    before = training_seconds(made, [cot, answer])
    cot.student.mkdir(parents=True)
    make_provenance(config=cot.cell.config).write(cot.student)
    assert training_seconds(made, [cot, answer]) == [0, before[1]] and before[0] > before[1] > 0


def test_the_hours_are_measured_once_for_each_student(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(seeds=[1, 2, 3])
    (first, *_) = (planned for planned in made.cells if planned.cell.config == "oracle-l3-arith")
    facts = {"provenance": {"train_seconds": 36.0 * made.tokens(first)}}  # 0.01 hours per token
    write_record(made.record(first, "cot_arith"), answer_rows([True]), facts)
    paths = []
    monkeypatch.setattr(estimates, "read_record", lambda path: paths.append(path) or read_record(path))
    tokens = sum(made.tokens(planned) for planned in made.cells if planned != first)
    assert f"about {tokens / 100:.1f} hours" in plan_page(made)
    assert paths == [made.record(first, "cot_arith")]


@pytest.mark.parametrize(
    ("student", "parameters"),
    [("bloom-1b7", 1.7e9), ("bloom-560m", 0.56e9), ("llama-3.2-3b", 3e9), ("gemma-3-270m", 0.27e9), ("demo", 1e6)],
)
def test_a_student_without_weights_is_estimated_by_the_size_in_its_name(
    plan: Callable[..., Plan], student: str, parameters: float
) -> None:
    recipe = yaml.safe_load((ROOT / "training/recipes/demo.yaml").read_text())
    path = Path(f"{student}.yaml")
    path.write_text(yaml.safe_dump(recipe | {"model_name_or_path": "nobody/nothing", "student": student}))
    made = plan(students=[f"./{path}"], gpus=0, threads=1)
    words = sum(
        len(row["completion"][0]["content"].split()) for config in made.rows for row in made.rows[config].to_list()
    )
    assert made.cells == [] and len(made.missing) == 4  # two of them untrained
    assert unplanned_seconds(made) == pytest.approx(words * 1.6 * 3 * 6 * 3 * parameters / 5e10)
    assert "4 more cells cannot be run yet" in plan_page(made)

"""What the plan of a study says before any training: cells that would be rejected, and texts that are too long."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl
import yaml
from support import ROOT
from transformers import AutoTokenizer

from cot_distill_datasets.cli import main
from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.studies import checks
from cot_distill_datasets.studies.checks import check_plan
from cot_distill_datasets.studies.plan import Plan
from cot_distill_datasets.studies.status import plan_page
from cot_distill_datasets.studies.tokens import _count
from cot_distill_datasets.training.checks import check_supervision
from cot_distill_datasets.training.trainer import CotTrainer


StudyFile = Callable[..., Path]
RECIPE = ROOT / "training/recipes/demo.yaml"


@pytest.fixture
def base(tmp_path: Path, small_project: Path) -> Path:
    """A copy of the untrained demo student."""
    return shutil.copytree(small_project / "runs/demo/untrained", tmp_path / "base")


def _own_recipe(**changed: Any) -> list[str]:
    Path("own.yaml").write_text(yaml.safe_dump(yaml.safe_load(RECIPE.read_text()) | changed))
    return ["./own.yaml"]


def _training_error(plan: Plan, config: str, max_length: int, out: Path) -> str:
    """Return what the check of a training says of all rows."""
    args = trl.SFTConfig(str(out), use_cpu=True, bf16=False, report_to="none", max_length=max_length)
    rows = plan.rows[config].select_columns(["id", "prompt", "completion"])
    trainer = CotTrainer(model="runs/demo/untrained", args=args, train_dataset=rows, recipe_sha256="0")
    with pytest.raises(CotDistillError) as error:
        check_supervision(trainer, rows, "arith", "number", allow_truncation=False)
    return str(error.value)


def test_a_config_that_its_training_would_reject_is_missing_with_the_same_reason(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SAMPLE", 4)  # of 64 rows
    first = plan(seeds=[1, 2], max_length=[1024, 38])
    made = check_plan(first)
    reason = _training_error(first, "oracle-l3-arith", 38, tmp_path / "out")
    assert made.missing == {f"demo.oracle-l3-arith.max_length=38.seed{seed}": reason for seed in (1, 2)}
    assert {p.cell.name for p in first.cells} - {p.cell.name for p in made.cells} == made.missing.keys()
    assert f"missing: {next(iter(made.missing))} and 1 more: {reason}" in plan_page(made).splitlines()


def test_truncation_that_the_recipe_allows_is_no_reason(plan: Callable[..., Plan]) -> None:
    assert check_plan(plan(students=_own_recipe(max_length=38, allow_truncation=True))).missing == {}


def test_a_template_that_breaks_a_rule_is_named_for_every_config(plan: Callable[..., Plan]) -> None:
    chatml = (ROOT / "training/templates/chatml.jinja").read_text()
    Path("no-eos.jinja").write_text(chatml.replace("message['content'] + '<|im_end|>'", "message['content']"))
    made = check_plan(plan(students=_own_recipe(chat_template_path="./no-eos.jinja")))
    assert made.missing.keys() == {"own.oracle-l3-arith.seed1", "own.answer-arith.seed1"}
    assert all("Row " in reason and "EOS token" in reason for reason in made.missing.values())


def test_the_check_needs_no_weights_and_writes_nothing(plan: Callable[..., Plan], base: Path) -> None:
    (base / "model.safetensors").unlink()
    first = plan(students=_own_recipe(model_name_or_path=str(base)))
    before = sorted(Path().rglob("*"))
    assert check_plan(first) == first
    assert sorted(Path().rglob("*")) == before


def test_cells_that_are_complete_stay_in_the_plan_whatever_the_check_says(plan: Callable[..., Plan]) -> None:
    first = plan(max_length=38)
    for planned in first.cells:
        path = first.record(planned, "cot_arith")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert check_plan(first).missing == {}


def test_a_config_with_completions_that_the_task_would_cut_off_is_warned_of(
    plan: Callable[..., Plan], base: Path
) -> None:
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:15]  # shorter tokens, so more of them
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    students = ["demo", *_own_recipe(model_name_or_path=str(base))]
    made = check_plan(plan(students=students, configs=["oracle-l3-arith", "oracle-l5-arith"], seeds=[1, 2]))
    texts = [f"{turns[0]['content']}<|im_end|>" for turns in made.rows["oracle-l5-arith"]["completion"]]
    tokens = [len(ids) for ids in AutoTokenizer.from_pretrained(base)(texts)["input_ids"]]
    longer = sum(count > 224 for count in tokens)  # `cot_arith` allows 224
    assert 224 in tokens and 0 < longer < 64
    (warning,) = made.warnings
    assert warning.startswith("oracle-l5-arith: ") and warning.endswith("(own)")
    assert f" {longer} of 64 " in warning and " 224 " in warning
    assert made.missing == {} and f"warning: {warning}" in plan_page(made).splitlines()


def test_a_dry_run_checks_the_plan_and_a_status_does_not(
    study_file: StudyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    study_file(max_length=38)
    counted = _count.cache_info().misses
    assert main(["study", "status", "small.yaml"]) == 0
    assert _count.cache_info().misses == counted
    assert main(["study", "run", "small.yaml", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in lines if line.startswith("missing: ")] == [
        " demo.oracle-l3-arith.max_length=38.seed1"
    ]

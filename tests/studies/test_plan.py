"""The plan of a study: keys of cells, the shared questions, and the budget."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.studies import keys as key_parts
from cot_distill_datasets.studies import plan as plans
from cot_distill_datasets.studies.checks import check_plan
from cot_distill_datasets.studies.plan import Plan, make_plan
from cot_distill_datasets.studies.questions import write_questions
from cot_distill_datasets.studies.study import load_study
from cot_distill_datasets.training.data import load_rows


StudyFile = Callable[..., Path]
RECIPE = ROOT / "training/recipes/demo.yaml"


@pytest.fixture(autouse=True)
def _without_cache() -> None:
    for function in (key_parts.base_hash, key_parts.questions_hash, key_parts._base_template):
        function.cache_clear()


def _keys(plan: Plan) -> dict[str, str]:
    return {planned.cell.config: planned.key for planned in plan.cells}


def _own_recipe(**changed: Any) -> list[str]:
    Path("own.yaml").write_text(yaml.safe_dump(yaml.safe_load(RECIPE.read_text()) | changed))
    return ["./own.yaml"]


@pytest.mark.parametrize(
    "changed", [{"seeds": [2]}, {"learning_rate": 1e-3}, {"max_steps": 7}, {"use_peft": True}], ids=str
)
def test_a_key_changes_with_what_decides_the_weights(plan: Callable[..., Plan], changed: dict[str, Any]) -> None:
    key, other = _keys(plan()), _keys(plan(**changed))
    assert key["oracle-l3-arith"] != other["oracle-l3-arith"]
    assert key["untrained"] == other["untrained"]


def test_a_key_changes_with_the_template_and_the_base_weights(plan: Callable[..., Plan], tmp_path: Path) -> None:
    base = shutil.copytree("runs/demo/untrained", tmp_path / "base")
    first = _keys(plan(students=_own_recipe(model_name_or_path=str(base))))
    template = _keys(plan(students=_own_recipe(model_name_or_path=str(base), chat_template_path="gemma")))
    changed = [template]
    for name in ("generation_config.json", "config.json", "tokenizer.json", "model.safetensors"):
        (base / name).write_bytes((base / name).read_bytes().replace(b"2", b"3", 1))
        key_parts.base_hash.cache_clear()
        changed.append(_keys(plan(students=_own_recipe(model_name_or_path=str(base)))))
    assert len({keys["oracle-l3-arith"] for keys in (first, *changed)}) == 6


def test_a_key_does_not_change_with_where_and_how_a_run_computes(plan: Callable[..., Plan]) -> None:
    other = plan(students=_own_recipe(per_device_train_batch_size=4, logging_steps=1), threads=2, gpus=1.0)
    assert _keys(plan()) == _keys(other)


def test_a_key_does_not_change_with_a_default_that_a_recipe_states(plan: Callable[..., Plan]) -> None:
    assert _keys(plan()) == _keys(plan(students=_own_recipe(lr_scheduler_type="cosine")))
    assert _keys(plan()) != _keys(plan(students=_own_recipe(lr_scheduler_type="linear")))


def test_a_demo_student_has_one_key_on_every_cpu(plan: Callable[..., Plan]) -> None:
    """Torch draws its weights with other roundings on a CPU without AVX2."""
    first = _keys(plan())
    folder = Path("runs/demo/untrained")
    shared = folder.resolve()
    folder.unlink()
    weights = Path(shutil.copytree(shared, folder), "model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    key_parts.base_hash.cache_clear()
    assert _keys(plan()) == first


def test_a_base_model_has_one_key_whatever_version_of_transformers_wrote_it(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    base = shutil.copytree("runs/demo/untrained", tmp_path / "base")
    first = _keys(plan(students=_own_recipe(model_name_or_path=str(base))))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"transformers_version": "4.57.6"}))
    (base / "tokenizer_config.json").write_text("{}")
    key_parts.base_hash.cache_clear()
    assert _keys(plan(students=_own_recipe(model_name_or_path=str(base)))) == first


def test_a_new_task_or_number_of_questions_needs_a_new_record_and_no_training(plan: Callable[..., Plan]) -> None:
    (first,), (other,) = (
        [planned for planned in made.cells if planned.cell.config == "oracle-l3-arith"]
        for made in (plan(), plan(test_questions=600))
    )
    assert first.key == other.key and first.records.keys() == other.records.keys()
    assert first.records != other.records


def test_a_key_changes_with_the_template_of_the_base_unless_the_recipe_has_one(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    base = shutil.copytree("runs/demo/untrained", tmp_path / "base")
    recipes = [{"model_name_or_path": str(base)}, {"model_name_or_path": str(base), "chat_template_path": "chatml"}]
    first = [_keys(plan(students=_own_recipe(**recipe))) for recipe in recipes]
    chatml = (ROOT / "training/templates/chatml.jinja").read_text()
    (base / "chat_template.jinja").write_text("{# changed #}" + chatml)
    key_parts._base_template.cache_clear()
    other = [_keys(plan(students=_own_recipe(**recipe))) for recipe in recipes]
    assert first[1] == other[1]
    assert first[0].keys() == other[0].keys() and not {*first[0].values()} & {*other[0].values()}


def test_two_cells_that_are_the_same_training_are_rejected(plan: Callable[..., Plan]) -> None:
    with pytest.raises(CotDistillError) as error:
        plan(per_device_train_batch_size=[4, 8])
    for value in (4, 8):
        assert f"demo.oracle-l3-arith.per_device_train_batch_size={value}.seed1" in str(error.value)


def test_a_record_counts_for_a_cell_that_a_further_axis_renames(plan: Callable[..., Plan]) -> None:
    first = plan()
    first.records.mkdir(parents=True)
    for planned in first.cells:
        first.record(planned, "cot_arith").touch()
    other = plan(learning_rate=[8e-4, 4e-4])
    assert {planned.cell.name for planned in other.cells if not other.is_complete(planned)} == {
        f"demo.{config}-arith.learning_rate=0.0004.seed1" for config in ("oracle-l3", "answer")
    }


@pytest.mark.parametrize("content", ["a: [", "- demo", "learning_rat: 1", "learning_rate: 1.0e-3", "a: 1\na: 2"])
def test_a_student_whose_recipe_cannot_be_used_is_missing_and_the_rest_is_planned(
    plan: Callable[..., Plan], content: str
) -> None:
    recipe = Path("bad.yaml")
    recipe.write_text(content)
    made = plan(students=["demo", "./bad.yaml"])
    assert {planned.cell.student for planned in made.cells} == {"demo"}
    assert len(made.missing) == 4 and all("bad.yaml" in reason for reason in made.missing.values())


def test_configs_whose_files_were_missing_in_the_build_are_missing_cells(study_file: StudyFile) -> None:
    path = study_file(configs=["oracle-l3-arith", "gpt4o-l*-svamp"], dataset="own")
    index = shutil.copytree("eit/cot-distill", "own") / Path("release.json")
    absent = {"gpt4o-l3-svamp": "SVAMP_level3.json", "answer-svamp": "SVAMP.json", "gpt4o-l4-aqua": "aqua.json"}
    index.write_text(json.dumps(json.loads(index.read_text()) | {"absent": absent}))
    made = make_plan(load_study(path), Path("out"))
    assert [planned.cell.benchmark for planned in made.cells] == ["arith"] * 4
    assert {name: file for name, reason in made.missing.items() for file in absent.values() if file in reason} == {
        "demo.gpt4o-l3-svamp.seed1": "SVAMP_level3.json", "demo.answer-svamp.seed1": "SVAMP.json",
    }  # fmt: skip
    bases = {"demo.untrained.0shot.svamp", "demo.untrained.4shot.svamp"}
    assert {name for name in made.missing if "untrained" in name} == bases


@pytest.mark.parametrize("content", ["{", "[]", '{"arith": 5}', '{"arith": [1]}', '{"arith": ["a", "b", "c"]}'])
def test_shared_questions_that_cannot_be_used_are_rejected_in_one_line(study_file: StudyFile, content: str) -> None:
    Path("out").mkdir()
    Path("out/questions.json").write_text(content)
    with pytest.raises(CotDistillError) as error:
        make_plan(load_study(study_file()), Path("out"))
    assert "\n" not in str(error.value)


def test_fewer_questions_than_exemplars_are_rejected(plan: Callable[..., Plan]) -> None:
    first = plan()
    first.folder.mkdir()
    (first.folder / "questions.json").write_text(json.dumps({"arith": first.questions["arith"][:3]}))
    with pytest.raises(CotDistillError, match="have 3 questions"):
        plan()


def test_levels_without_a_common_question_are_not_compared_in_length(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = {"oracle-l1-arith": range(32), "oracle-l3-arith": range(32, 64), "answer-arith": range(64)}
    monkeypatch.setattr(plans, "load_rows", lambda config, dataset: load_rows(config, dataset).select(halves[config]))
    assert plan(configs=["oracle-l1-arith", "oracle-l3-arith"], questions="own").separation == {}


def test_other_exemplars_of_the_same_questions_need_a_new_record_of_the_base_alone(plan: Callable[..., Plan]) -> None:
    configs = ["oracle-l1-arith", "oracle-l3-arith"]
    first, other = (
        {planned.cell.name: planned.records for planned in plan(configs=configs, reference=reference).cells}
        for reference in configs
    )
    assert [name for name in first if first[name] != other[name]] == ["demo.untrained.4shot.arith"]


def test_all_configs_train_on_the_questions_they_share(plan: Callable[..., Plan]) -> None:
    made = plan(configs=["oracle-l1-arith", "oracle-l3-arith"])
    assert len(made.questions["arith"]) == 64 == len(set(made.questions["arith"]))
    assert made.separation == {("oracle-l1-arith", "oracle-l3-arith"): (1.0, pytest.approx(10 / 3))}


def test_a_config_that_would_shrink_the_shared_questions_is_rejected_with_its_cost(study_file: StudyFile) -> None:
    study, out = load_study(study_file(seeds=[1, 2, 3])), Path("out")
    first = make_plan(study, out)
    write_questions(first.folder, first.questions)
    ids = first.questions["arith"]
    (out / "questions.json").write_text(json.dumps({"arith": ["arith-of-a-config-that-was-wider", *ids]}))
    with pytest.raises(CotDistillError, match="lacks 1 of the 65") as error:
        make_plan(study, out)
    assert "all 6 cells" in str(error.value) and "--rebase" in str(error.value)
    assert make_plan(study, out, rebase=True).questions == first.questions


def test_later_runs_train_on_the_questions_of_the_first(study_file: StudyFile) -> None:
    study, out = load_study(study_file()), Path("out")
    first = make_plan(study, out)
    ids = first.questions["arith"][:10]
    out.mkdir()
    (out / "questions.json").write_text(json.dumps({"arith": ids}))
    later = make_plan(study, out)
    assert later.questions == {"arith": ids} and _keys(later) != _keys(first)


def test_a_token_budget_scales_the_epochs_to_the_reference(plan: Callable[..., Plan]) -> None:
    made = plan(configs=["oracle-l3-arith", "oracle-l4-arith"], budget="tokens", reference="oracle-l3-arith")
    tokens = {planned.cell.config: made.tokens(planned) for planned in made.cells}
    assert tokens["oracle-l4-arith"] == pytest.approx(tokens["oracle-l3-arith"], rel=0.001)
    (finer,) = [planned for planned in made.cells if planned.cell.config == "oracle-l4-arith"]
    assert 0 < float(finer.arguments[finer.arguments.index("--num_train_epochs") + 1]) < 5


def test_the_answer_only_student_that_cannot_be_matched_is_no_cell_and_a_warning(plan: Callable[..., Plan]) -> None:
    made = check_plan(plan(seeds=[1, 2], budget="tokens", reference="oracle-l3-arith"))  # over 4 times the epochs
    assert {cell.config for cell in made.study.trained} == {"oracle-l3-arith"} and made.missing == {}
    (warning,) = made.warnings
    assert warning.startswith("answer-arith ") and "5.27 times" in warning


def test_a_config_that_cannot_be_matched_is_missing(plan: Callable[..., Plan]) -> None:
    made = plan(configs=["oracle-l1-arith", "oracle-l6-arith"], budget="tokens", reference="oracle-l6-arith")
    assert list(made.missing) == ["demo.oracle-l1-arith.seed1"]


def test_a_token_budget_does_not_go_with_a_number_of_steps(plan: Callable[..., Plan]) -> None:
    recipe = _own_recipe(max_steps=7)
    made = plan(students=["demo", *recipe], budget="tokens", reference="oracle-l3-arith")
    assert made.missing.keys() == {"own.oracle-l3-arith.seed1", "own.answer-arith.seed1"}
    assert all("`max_steps`" in reason for reason in made.missing.values())


def test_a_base_model_that_cannot_be_loaded_is_missing_and_the_rest_is_planned(plan: Callable[..., Plan]) -> None:
    made = plan(students=["demo", *_own_recipe(model_name_or_path="nobody/nothing")])
    assert {planned.cell.student for planned in made.cells} == {"demo"}
    assert {name.split(".")[0] for name in made.missing} == {"own"}

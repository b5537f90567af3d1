"""Study files: which cells they mean, and which mistakes are named."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.files import resource
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.sources.manifest import read_manifest
from cot_distill_datasets.studies.study import UNTRAINED, load_study


StudyFile = Callable[..., Path]


def test_the_answer_only_student_and_the_base_are_in_every_study(study_file: StudyFile) -> None:
    cells = load_study(study_file(seeds=[1, 2])).cells
    assert Counter(cell.config for cell in cells) == {"oracle-l3-arith": 2, "answer-arith": 2, UNTRAINED: 2}
    assert sorted(cell.shots for cell in cells if cell.config == UNTRAINED) == [0, 4]


def test_a_pattern_stands_for_levels_and_not_for_formats(study_file: StudyFile) -> None:
    study = load_study(study_file(configs=["oracle-l*-arith"]))
    levels = {cell.config for cell in study.trained} - {"answer-arith"}
    assert levels == {f"oracle-l{level}-arith" for level in range(1, 7)}


def test_any_argument_of_the_training_is_an_axis(study_file: StudyFile) -> None:
    study = load_study(study_file(learning_rate=[1e-4, 2e-4], use_peft=[False, True], max_steps=3))
    cells = [dict(cell.arguments) for cell in study.trained if cell.config == "oracle-l3-arith"]
    assert {(cell["learning_rate"], cell["use_peft"]) for cell in cells} == {
        (1e-4, False), (1e-4, True), (2e-4, False), (2e-4, True),
    }  # fmt: skip
    assert {cell["max_steps"] for cell in cells} == {3}


@pytest.mark.parametrize(("has_gpu", "gpus"), [(False, 0), (True, 1)])
def test_a_cell_gets_a_gpu_where_there_is_one(
    study_file: StudyFile, monkeypatch: pytest.MonkeyPatch, has_gpu: bool, gpus: float
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    assert load_study(study_file()).gpus == gpus
    assert load_study(study_file(gpus=0.5)).gpus == 0.5


@pytest.mark.parametrize(("packages", "backend"), [([], "hf"), (["vllm"], "vllm")])
def test_the_default_backend_is_vllm_where_it_is_installed(
    study_file: StudyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: list[str], backend: str
) -> None:
    for name in packages:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    path = study_file()
    content = yaml.safe_load(path.read_text())
    del content["backend"]
    path.write_text(yaml.safe_dump(content))
    assert load_study(path).backend == backend


def test_a_further_grid_changes_some_of_the_axes(study_file: StudyFile) -> None:
    study = load_study(study_file(also=[{"students": ["demo-small"], "seeds": [7]}]))
    assert {(cell.student, cell.seed) for cell in study.trained} == {("demo", 1), ("demo-small", 7)}


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({"sedes": [1]}, ["'sedes'", "`seeds`"]),
        ({"learning_rat": [1e-4]}, ["'learning_rat'", "`learning_rate`"]),
        ({"configs": ["oracle-l9-arith"]}, ["'l9'"]),
        ({"configs": ["oracle-l3-svamp"]}, ["'oracle-l3-svamp'", "`oracle-l3-arith`"]),
        ({"configs": ["gpt4o-l*-arith"]}, ["'gpt4o-l*-arith'"]),
        ({"seeds": [1, 1]}, ["seeds", "[1, 1]"]),
        ({"seeds": []}, ["seeds", "[]"]),
        ({"also": [{"seeds": [1]}]}, ["demo.oracle-l3-arith.seed1"]),
        ({"questions": "all"}, ["all", "shared or own"]),
        ({"budget": "words"}, ["words", "examples or tokens"]),
        ({"budget": "tokens"}, ["`reference:`"]),
        ({"reference": "oracle-l5-arith"}, ["oracle-l5-arith", "`oracle-l3-arith`"]),
        ({"tasks": ["cot_arit"]}, ["'cot_arit'", "`cot_arith`"]),
        ({"students": ["demo", "training/recipes/demo.yaml"]}, ["'demo'", "training/recipes/demo.yaml"]),
        ({"students": ["a/x.yaml", "b/x.yaml"]}, ["'x'", "a/x.yaml", "b/x.yaml"]),
        ({"also": [{"threads": 2}]}, ["`threads`", "`also`"]),
        ({"also": [{"also": []}]}, ["`also`"]),
        ({"also": [{"seeds": [2], "output_dir": "a"}]}, ["'output_dir'"]),
        ({"output_dir": "a"}, ["'output_dir'"]),
        ({"student": "a"}, ["'student'", "`students`"]),
        ({"untrained": True}, ["'untrained'"]),
        ({"question_ids": "a"}, ["'question_ids'"]),
        ({"lora_target_modules": [["q_proj"]]}, ["lora_target_modules", "['q_proj']"]),
        ({"max_length": [None]}, ["max_length", "None"]),
        ({"max_steps": [1.5]}, ["max_steps", "1.5", "int"]),
        ({"num_train_epochs": [1, 1.0]}, ["num_train_epochs", "twice"]),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(
    study_file: StudyFile, changed: dict[str, Any], data: list[str]
) -> None:
    with pytest.raises(CotDistillError) as error:
        load_study(study_file(**changed))
    assert all(part in str(error.value) for part in data), error.value


@pytest.mark.parametrize(
    "name", ["model_name_or_path", "model_revision", "chat_template_path", "eos_token", "pad_token"]
)
def test_an_axis_that_changes_the_base_needs_a_recipe(study_file: StudyFile, name: str) -> None:
    with pytest.raises(CotDistillError, match=f"`{name}` .* recipe"):
        load_study(study_file(**{name: "a"}))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("students", [None, [1], [["demo"]], {"demo": 1}]),
        ("configs", [None, [3]]),
        ("seeds", [None, [1.5], ["1"], [True], [[1]]]),
        ("also", [None, {"seeds": [2]}, ["seeds"], [{1: 2}]]),
        ("tasks", [None, "cot_arith", [1]]),
        ("dataset", [None, 1]),
        ("reference", [1]),
        ("questions", [None, ["own"]]),
        ("margin", [None, "5", True, -1, float("nan"), float("inf")]),
        ("test_questions", ["5", 0, 1.5]),
        ("threads", [0, "2", 1.5]),
        ("gpus", [-1, "1", None]),
    ],
)
def test_a_value_of_a_wrong_type_or_size_is_named(study_file: StudyFile, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(CotDistillError, match=name) as error:
            load_study(study_file(**{name: value}))
        assert "\n" not in str(error.value), value


def test_a_token_budget_is_for_one_benchmark(study_file: StudyFile, stand_in_release: Path) -> None:
    dataset, configs = str(stand_in_release), ["gpt4o-l1-*"]
    benchmarks = {cell.benchmark for cell in load_study(study_file(dataset=dataset, configs=configs)).cells}
    with pytest.raises(CotDistillError) as error:
        config = f"gpt4o-l1-{min(benchmarks)}"
        load_study(study_file(dataset=dataset, configs=configs, budget="tokens", reference=config))
    assert len(benchmarks) > 1 and all(name in str(error.value) for name in benchmarks)


def test_tasks_are_names_or_groups(study_file: StudyFile) -> None:
    study = load_study(study_file(tasks=["cot_arith", "cot_math_reasoning"]))
    assert study.tasks[0] == "cot_arith" and {"cot_gsm8k", "cot_svamp"} < {*study.tasks}


@pytest.mark.parametrize("content", ["students: [", "- demo", "students: [demo]", "a: 1\na: 2", "a: 2026-13-40"])
def test_a_file_that_is_no_study_is_rejected(study_file: StudyFile, content: str) -> None:
    path = study_file()
    path.write_text(content)
    with pytest.raises(CotDistillError, match=str(path)) as error:
        load_study(path)
    assert "\n" not in str(error.value)


@pytest.fixture
def paper_files(study_file: StudyFile) -> list[ConfigName]:
    """The configs of the paper's files, none of which is in the releases `eit/cot-distill` and `out/paper`."""
    study_file()
    configs = [entry.config for entry in read_manifest(ROOT / "tests/data/upstream/data")[0]]
    others = ["gpt4o-l6-rar-aqua", "gpt4o-l3-svamp", "gemini-l3-svamp", "llama70b-l3-svamp", "human-svamp"]
    configs += map(ConfigName.parse, others)  # which the stand-in lacks
    absent = {str(config): "file.json" for config in configs}
    project = Path("eit").readlink()
    Path("eit").unlink()
    for release in ("eit/cot-distill", "out/paper"):
        index = shutil.copytree(project / "cot-distill", release) / Path("release.json")
        index.write_text(json.dumps(json.loads(index.read_text()) | {"absent": absent}))
    return configs


@pytest.mark.usefixtures("paper_files")
@pytest.mark.parametrize("name", sorted(path.stem for path in resource("training/studies").glob("*.yaml")))
def test_every_shipped_study_can_be_read(name: str) -> None:
    assert load_study(resource(f"training/studies/{name}.yaml")).trained


def test_the_study_of_the_paper_has_every_config_at_both_learning_rates(paper_files: list[ConfigName]) -> None:
    study = load_study(resource("training/studies/paper.yaml"))
    plain = {str(config) for config in paper_files if config.format == "cot"}
    rates = {cell.axes for cell in study.trained}
    assert rates == {(("learning_rate", "5e-05"),), (("learning_rate", "3e-05"),)}
    cells = {(cell.label, cell.config, cell.axes) for cell in study.trained}
    students = {label for label, _, _ in cells}
    assert len(students) == 7 and {(s, c, r) for s in students for c in plain for r in rates} <= cells
    formats = {(s.split("-")[0], ConfigName.parse(c).granularity) for s, c, _ in cells if c not in plain}
    assert formats == {("bloom", 3), ("gemma", 5), ("gemma", 6)}

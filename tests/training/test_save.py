"""The files of a trained student, whichever way it was trained, and the checks after saving."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from datasets import Dataset
from PIL import Image
from safetensors.torch import load_file, save_file
from support import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training import save
from cot_distill_datasets.training.arguments import parse
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.save import check_answers, load_saved


FEW = ["--max_steps", "2", "--effective_batch_size", "4", "--per_device_train_batch_size", "4", "--report_to", "none"]
STUDENT = Path("runs/demo/oracle-l3-arith/seed100")


def _provenance(student: Path = STUDENT) -> dict[str, Any]:
    return json.loads((student / "provenance.json").read_text())


@pytest.mark.slow
def test_a_student_has_every_file_that_describes_it(sft: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    sft.main(*parse(FEW))
    assert sorted(path.name for path in STUDENT.iterdir()) == [
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "loss.png", "model.safetensors",
        "provenance.json", "tokenizer.json", "tokenizer_config.json", "train.log", "trainer_state.json",
    ]  # fmt: skip
    provenance = _provenance()
    assert provenance["recipe"] == "demo.yaml" and len(provenance["recipe_sha256"]) == 64
    facts = {"steps": 2, "processes": 1, "parameters": 935_040, "lora": None, "base_revision": None}
    assert {name: provenance[name] for name in facts} == facts
    assert provenance["settings"]["learning_rate"] == 8e-4
    assert provenance["versions"].keys() >= {"torch", "trl", "transformers"}
    rows = load_rows("oracle-l3-arith", "eit/cot-distill")
    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    completions = [tokenizer.encode(row["completion"][0]["content"] + "<|im_end|>") for row in rows]
    assert provenance["supervised_tokens"] == sum(map(len, completions))
    (warning,) = provenance["warnings"]  # two steps teach it nothing
    assert warning.startswith("8 of 8 answers") and f" {max(map(len, completions))} tokens" in warning
    assert f"warning: {warning}" in capsys.readouterr().err
    with Image.open(STUDENT / "loss.png") as curve:
        assert curve.size == (900, 525)


@pytest.mark.slow
def test_a_student_is_trained_on_a_mixture_from_coarse_to_fine(sft: ModuleType) -> None:
    mixture = "0.2*oracle-fine-arith + 0.8*oracle-coarse-arith"
    sft.main(*parse([*FEW, "--dataset_config", mixture, "--coarse_to_fine", "true"]))
    provenance = _provenance(Path("runs/demo/0.2-oracle-l5-arith+0.8-oracle-l1-arith/seed100"))
    assert (provenance["config"], provenance["train_examples"]) == ("0.2*oracle-l5-arith+0.8*oracle-l1-arith", 5000)
    assert sorted(provenance["data_files"]) == ["oracle-l1-arith", "oracle-l5-arith"]


@pytest.mark.slow
def test_a_lora_student_is_saved_as_one_merged_model(sft: ModuleType) -> None:
    sft.main(*parse([*FEW, "--use_peft", "true", "--lora_r", "4"]))
    before, after = (load_file(f / "model.safetensors") for f in (Path("runs/demo/untrained"), STUDENT))
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed and all("q_proj" in name or "v_proj" in name for name in changed)
    assert _provenance()["lora"] == {
        "lora_r": 4, "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": None,
    }  # fmt: skip
    assert not list(STUDENT.glob("adapter*"))


@pytest.mark.slow
def test_a_different_recipe_replaces_a_link_to_a_complete_student_with_a_message_and_not_the_student(
    sft: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Path("runs/cells/0123456789abcdef").absolute()  # of a study
    sft.main(*parse(FEW))
    cell.parent.mkdir()
    STUDENT.rename(cell)
    STUDENT.symlink_to(cell)
    files = {path.name: path.read_bytes() for path in cell.iterdir()}
    sft.main(*parse(FEW))
    assert STUDENT.is_symlink()  # it was complete
    first = _provenance()
    capsys.readouterr()
    sft.main(*parse([*FEW, "--learning_rate", "1e-5"]))
    assert f"student in {STUDENT} was trained by a different recipe" in capsys.readouterr().err
    second = _provenance()
    assert (first["settings"]["learning_rate"], second["settings"]["learning_rate"]) == (8e-4, 1e-5)
    assert first["recipe_sha256"] != second["recipe_sha256"]
    assert not STUDENT.is_symlink()
    assert {path.name: path.read_bytes() for path in cell.iterdir()} == files


@pytest.mark.slow
def test_a_student_with_the_provenance_of_an_older_version_is_trained_again(sft: ModuleType) -> None:
    STUDENT.mkdir(parents=True)
    (STUDENT / "provenance.json").write_text('{"student": "demo", "data_file": "x"}')
    sft.main(*parse(FEW))
    assert _provenance()["steps"] == 2


@pytest.mark.slow
def test_provenance_is_written_last(sft: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student whose card cannot be written is not complete, and its checkpoints are kept."""

    def fail(*_: Any) -> None:
        raise OSError("full disk")

    monkeypatch.setattr(save, "write_model_card", fail)
    with pytest.raises(OSError, match="full disk"):
        sft.main(*parse([*FEW, "--save_steps", "1"]))
    assert (STUDENT / "model.safetensors").is_file() and (STUDENT / "loss.png").is_file()
    assert not (STUDENT / "provenance.json").exists()
    assert sorted(path.name for path in STUDENT.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]


def test_the_baseline_of_a_base_model_without_a_template_gets_the_recipes_template(sft: ModuleType) -> None:
    base = Path("runs/demo/untrained").rename("base")
    (base / "chat_template.jinja").unlink()
    template = ROOT / "training/templates/chatml.jinja"
    args = ["--model_name_or_path", "base", "--student", "x", "--chat_template_path", str(template)]
    sft.main(*parse([*args, "--untrained", "true"]))
    assert AutoTokenizer.from_pretrained("runs/x/untrained").chat_template == template.read_text()
    weights = [load_file(folder / "model.safetensors") for folder in (base, Path("runs/x/untrained"))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_baseline_and_student_stop_at_the_eos_tokens_of_recipe_and_base_model(sft: ModuleType) -> None:
    GenerationConfig(eos_token_id=7).save_pretrained("runs/demo/untrained")
    Path("runs/demo/untrained").rename("base")
    args = ["--model_name_or_path", "base", "--student", "x"]
    sft.main(*parse([*args, "--untrained", "true"]))
    sft.main(*parse([*args, *FEW]))
    folders = ("runs/x/untrained", "runs/x/oracle-l3-arith/seed100")
    assert [GenerationConfig.from_pretrained(folder).eos_token_id for folder in folders] == [[2, 7], [2, 7]]


def test_a_baseline_with_results_is_not_changed(sft: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    (results := Path("runs/demo/untrained/results/results_1.json")).parent.mkdir()
    results.write_text("{}")
    sft.main(*parse(["--untrained", "true"]))
    assert results.is_file()
    assert "runs/demo/untrained already exists" in capsys.readouterr().err


@pytest.fixture
def student(project_dir: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student."""
    return shutil.copytree(project_dir / "runs/demo/untrained", tmp_path / "student")


def _trained_facts(student: Path) -> tuple[int, str]:
    """Return what `load_saved` compares with: the number of parameters and the chat template."""
    parameters = AutoModelForCausalLM.from_pretrained(student).num_parameters()
    return parameters, (student / "chat_template.jinja").read_text()


def test_an_answer_that_ends_with_the_base_models_eos_token_has_ended(student: Path) -> None:
    saved = load_saved(student, *_trained_facts(student))
    rows = Dataset.from_dict({"input_ids": [[3, 4, 5, 6]], "labels": [[-100, -100, 5, 6]]})
    assert len(check_answers(saved, rows)) == 1
    batch = torch.tensor([[3, 4]])
    first = saved.model.generate(batch, max_new_tokens=1, do_sample=False)[0, -1].item()
    saved.model.generation_config.eos_token_id = [2, first]
    assert check_answers(saved, rows) == []


def test_a_saved_student_that_lacks_a_weight_is_rejected(student: Path) -> None:
    parameters, template = _trained_facts(student)
    load_saved(student, parameters, template)
    weights = load_file(student / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, student / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CotDistillError, match=r"\['model.layers.1.mlp.up_proj.weight'\]"):
        load_saved(student, parameters, template)


def test_a_saved_student_with_a_different_template_or_size_is_rejected(student: Path) -> None:
    parameters, template = _trained_facts(student)
    with pytest.raises(CotDistillError, match="chat template"):
        load_saved(student, parameters, template + " ")
    with pytest.raises(CotDistillError, match=r"935,040 of 7 "):
        load_saved(student, 7, template)

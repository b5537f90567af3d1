"""What lies beside a student after its training, by whichever way it was trained."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch
from datasets import Dataset
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from cot_distill_datasets.readback import check_answers, read_back
from cot_distill_datasets.taxonomy import CotDistillError
from cot_distill_datasets.training_rows import load_training_rows


ROOT = Path(__file__).parents[1]
FEW = ["--max_steps", "2", "--effective_batch_size", "4", "--per_device_train_batch_size", "4", "--report_to", "none"]


def test_a_student_has_all_that_describes_it(sft: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    sft.main(*sft.parse(FEW))
    student = Path("runs/demo/oracle-l3-arith/seed100")
    assert sorted(path.name for path in student.iterdir()) == [
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "loss.png", "model.safetensors",
        "provenance.json", "tokenizer.json", "tokenizer_config.json", "trainer_state.json",
    ]  # fmt: skip
    made = json.loads((student / "provenance.json").read_text())
    assert made["recipe"].endswith("training/recipes/demo.yaml") and len(made["recipe_sha256"]) == 64
    assert (made["steps"], made["processes"], made["parameters"], made["lora"]) == (2, 1, 935_040, None)
    assert made["settings"]["learning_rate"] == 8e-4 and made["versions"].keys() >= {"torch", "trl", "transformers"}
    rows = load_training_rows("eit/cot-distill", "oracle-l3-arith")
    tokenizer = AutoTokenizer.from_pretrained(student)
    ends = [tokenizer.encode(row["completion"][0]["content"] + "<|im_end|>") for row in rows]
    assert made["supervised_tokens"] == sum(map(len, ends))
    assert made["warnings"] == [
        f"8 of 8 answers to questions of the training ran to the cap of {max(map(len, ends))} tokens, the longest "
        "answer that was learned: the student may not have learned to end."
    ]
    assert f"warning: {made['warnings'][0]}" in capsys.readouterr().err
    with Image.open(student / "loss.png") as curve:
        assert curve.size == (900, 525)


def test_a_mixture_from_coarse_to_fine(sft: ModuleType) -> None:
    mixture = "0.2*oracle-fine-arith + 0.8*oracle-coarse-arith"
    sft.main(*sft.parse([*FEW, "--dataset_config", mixture, "--coarse_to_fine", "true"]))
    made = json.loads(Path("runs/demo/0.2-oracle-l5-arith+0.8-oracle-l1-arith/seed100/provenance.json").read_text())
    assert (made["config"], made["train_examples"]) == ("0.2*oracle-l5-arith+0.8*oracle-l1-arith", 5000)
    assert sorted(made["data_files"]) == ["oracle-l1-arith", "oracle-l5-arith"]


def test_lora_is_two_keys_and_leaves_a_whole_student(sft: ModuleType) -> None:
    sft.main(*sft.parse([*FEW, "--use_peft", "true", "--lora_r", "4"]))
    student = Path("runs/demo/oracle-l3-arith/seed100")
    before, after = (load_file(f / "model.safetensors") for f in (Path("runs/demo/untrained"), student))
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed and all("q_proj" in name or "v_proj" in name for name in changed)
    assert json.loads((student / "provenance.json").read_text())["lora"] == {
        "lora_r": 4, "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": None,
    }  # fmt: skip
    assert not list(student.glob("adapter*"))


def test_another_recipe_says_so_and_replaces_a_whole_student(
    sft: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Path("runs/demo/oracle-l3-arith/seed100/provenance.json")
    sft.main(*sft.parse(FEW))
    first = json.loads(made.read_text())
    capsys.readouterr()
    sft.main(*sft.parse([*FEW, "--learning_rate", "1e-5"]))
    said = "The student in runs/demo/oracle-l3-arith/seed100 is of another recipe, and goes once this one is trained."
    assert said in capsys.readouterr().out
    second = json.loads(made.read_text())
    assert (first["settings"]["learning_rate"], second["settings"]["learning_rate"]) == (8e-4, 1e-5)
    assert first["recipe_sha256"] != second["recipe_sha256"]


def test_a_provenance_of_a_former_version_is_none(sft: ModuleType) -> None:
    student = Path("runs/demo/oracle-l3-arith/seed100")
    student.mkdir(parents=True)
    (student / "provenance.json").write_text('{"student": "demo", "data_file": "x"}')
    sft.main(*sft.parse(FEW))
    assert json.loads((student / "provenance.json").read_text())["steps"] == 2


def test_a_base_model_without_a_template_becomes_a_baseline_that_can_be_asked(sft: ModuleType) -> None:
    base = Path("runs/demo/untrained").rename("base")
    (base / "chat_template.jinja").unlink()
    template = ROOT / "training/templates/chatml.jinja"
    args = ["--model_name_or_path", "base", "--student", "x", "--chat_template_path", str(template)]
    sft.main(*sft.parse([*args, "--untrained", "true"]))
    assert AutoTokenizer.from_pretrained("runs/x/untrained").chat_template == template.read_text()
    weights = [load_file(folder / "model.safetensors") for folder in (base, Path("runs/x/untrained"))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_baseline_ends_where_its_students_and_its_base_model_end(sft: ModuleType) -> None:
    GenerationConfig(eos_token_id=7).save_pretrained("runs/demo/untrained")
    Path("runs/demo/untrained").rename("base")
    args = ["--model_name_or_path", "base", "--student", "x"]
    sft.main(*sft.parse([*args, "--untrained", "true"]))
    sft.main(*sft.parse([*args, *FEW]))
    folders = ("runs/x/untrained", "runs/x/oracle-l3-arith/seed100")
    assert [GenerationConfig.from_pretrained(folder).eos_token_id for folder in folders] == [[2, 7], [2, 7]]


def test_a_baseline_that_has_results_stays(sft: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    (results := Path("runs/demo/untrained/results/results_1.json")).parent.mkdir()
    results.write_text("{}")
    sft.main(*sft.parse(["--untrained", "true"]))
    assert results.is_file()
    assert "is in runs/demo/untrained already, and stays" in capsys.readouterr().out


def test_an_answer_that_the_end_token_of_the_base_model_ends_has_ended(student: Path) -> None:
    read = read_back(
        student,
        AutoModelForCausalLM.from_pretrained(student).num_parameters(),
        (student / "chat_template.jinja").read_text(),
    )
    rows = Dataset.from_dict({"input_ids": [[3, 4, 5, 6]], "labels": [[-100, -100, 5, 6]]})
    assert len(check_answers(read, rows)) == 1
    batch = torch.tensor([[3, 4]])
    first = read.model.generate(batch, max_new_tokens=1, do_sample=False)[0, -1].item()
    read.model.generation_config.eos_token_id = [2, first]
    assert check_answers(read, rows) == []


@pytest.fixture
def student(workplace: Path, tmp_path: Path) -> Path:
    return shutil.copytree(workplace / "runs/demo/untrained", tmp_path / "student")


def test_a_student_that_lost_a_weight_on_its_way_to_the_disk_fails(student: Path) -> None:
    template = (student / "chat_template.jinja").read_text()
    parameters = AutoModelForCausalLM.from_pretrained(student).num_parameters()
    read_back(student, parameters, template)
    weights = load_file(student / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, student / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CotDistillError, match=r"without \['model.layers.1.mlp.up_proj.weight'\]"):
        read_back(student, parameters, template)


def test_a_student_that_was_saved_with_another_template_fails(student: Path) -> None:
    template = (student / "chat_template.jinja").read_text()
    parameters = AutoModelForCausalLM.from_pretrained(student).num_parameters()
    with pytest.raises(CotDistillError, match="saved with another chat template"):
        read_back(student, parameters, template + " ")
    with pytest.raises(CotDistillError, match="and 7 were trained"):
        read_back(student, 7, template)

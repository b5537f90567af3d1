"""`training/sft.py` under `accelerate launch`, and the recipes it ships with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from cot_distill_datasets.training.arguments import parse


SFT = ROOT / "training/sft.py"


def _launch(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", str(SFT), *args]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, env=os.environ)


@pytest.fixture(scope="module")
def fresh_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was empty before the command without arguments ran in it, limited to 3 steps."""
    folder = tmp_path_factory.mktemp("fresh")
    launch = _launch(folder, "--max_steps", "3")
    assert launch.returncode == 0, launch.stderr
    return folder


@pytest.mark.slow
def test_the_command_without_arguments_builds_what_is_missing_and_trains(fresh_dir: Path) -> None:
    student = fresh_dir / "runs/demo/oracle-l3-arith/seed100"
    provenance = json.loads((student / "provenance.json").read_text())
    assert (provenance["config"], provenance["train_examples"], provenance["steps"]) == ("oracle-l3-arith", 5000, 3)
    assert provenance["data_files"]["oracle-l3-arith"].startswith("data/oracle-l3-arith/train-")
    assert provenance["tokens_seen"] > 1000
    assert (fresh_dir / "eit/cot-distill/README.md").is_file()


@pytest.mark.slow
def test_every_weight_is_trained_and_the_student_has_template_and_card(fresh_dir: Path) -> None:
    student = fresh_dir / "runs/demo/oracle-l3-arith/seed100"
    trained, untrained = (
        AutoModelForCausalLM.from_pretrained(f) for f in (student, fresh_dir / "runs/demo/untrained")
    )
    pairs = zip(trained.named_parameters(), untrained.parameters())
    assert [name for (name, after), before in pairs if after.equal(before)] == []
    template = (ROOT / "training/templates/chatml.jinja").read_text()
    assert AutoTokenizer.from_pretrained(student).chat_template == template
    card = (student / "README.md").read_text()
    assert "`oracle-l3-arith`" in card and "--apply_chat_template" in card


@pytest.mark.slow
def test_an_unknown_granularity_is_one_line_with_the_nearest_and_exit_code_2(tmp_path: Path) -> None:
    launch = _launch(tmp_path, "--dataset_config", "oracle-fin-arith")
    (message,) = [line for line in launch.stderr.splitlines() if line.startswith("sft.py: ")]
    assert "'fin'" in message and "`fine`" in message
    assert launch.returncode == 1 and "exit status 2" in launch.stderr  # accelerate's own, and that of sft.py


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_parses_and_shows_its_command(recipe: Path) -> None:
    script_args, training_args, model_args, path = parse(
        ["--config", str(recipe), "--dataset_config", "gpt4o-fine-svamp"]
    )
    values = yaml.safe_load(recipe.read_text())
    assert path == str(recipe)
    assert model_args.model_name_or_path == values["model_name_or_path"]
    assert script_args.student == values["student"] == ("demo" if recipe.stem == "demo" else recipe.stem)
    assert (
        training_args.effective_batch_size
        == training_args.gradient_accumulation_steps * training_args.train_batch_size
    )
    assert "accelerate launch training/sft.py" in recipe.read_text().splitlines()[2]


def test_the_papers_settings_are_the_defaults() -> None:
    _, args, _, _ = parse(["--model_name_or_path", "x"])
    settings = {
        "learning_rate": 5e-5, "lr_scheduler_type": "cosine", "warmup_steps": 0, "num_train_epochs": 3,
        "effective_batch_size": 64, "max_length": 4096, "seed": 100, "packing": False, "max_grad_norm": 1.0,
    }  # fmt: skip
    assert {name: getattr(args, name) for name in settings} == settings

"""`training/sft.py` under `accelerate launch`, on a student small enough for a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer


ROOT = Path(__file__).parent.parent
SFT = ROOT / "training/sft.py"


def _launch(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", str(SFT), *args]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, env=os.environ)


@pytest.fixture(scope="module")
def virgin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where nothing was built, after the bare command was run in it, cut short to 3 steps."""
    folder = tmp_path_factory.mktemp("virgin")
    ended = _launch(folder, "--max_steps", "3")
    assert ended.returncode == 0, ended.stderr
    return folder


def test_the_bare_command_builds_what_is_missing_and_trains(virgin: Path) -> None:
    student = virgin / "runs/demo/oracle-l3-arith/seed100"
    provenance = json.loads((student / "provenance.json").read_text())
    assert (provenance["config"], provenance["train_examples"], provenance["steps"]) == ("oracle-l3-arith", 5000, 3)
    assert provenance["data_files"]["oracle-l3-arith"].startswith("data/oracle-l3-arith/train-")
    assert provenance["tokens_seen"] > 1000
    assert (virgin / "eit/cot-distill/README.md").is_file()


def test_the_student_is_trained_and_keeps_template_and_card(virgin: Path) -> None:
    student = virgin / "runs/demo/oracle-l3-arith/seed100"
    trained, untrained = (AutoModelForCausalLM.from_pretrained(f) for f in (student, virgin / "runs/demo/untrained"))
    pairs = zip(trained.named_parameters(), untrained.parameters())
    assert [name for (name, after), before in pairs if after.equal(before)] == []
    template = (ROOT / "training/templates/chatml.jinja").read_text()
    assert AutoTokenizer.from_pretrained(student).chat_template == template
    card = (student / "README.md").read_text()
    assert "`oracle-l3-arith`" in card and "--apply_chat_template" in card


@pytest.mark.parametrize("config", ["answer-arith", "oracle-l1-arith", "oracle-l3-arith", "oracle-l5-rar-arith"])
def test_supervised_tokens_are_exactly_the_completion_and_the_end_token(virgin: Path, config: str) -> None:
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    rows = load_dataset(str(virgin / "eit/cot-distill"), config, split="train").select(range(8))
    args = SFTConfig(str(virgin / "masks"), use_cpu=True, bf16=False, report_to="none")
    trainer = SFTTrainer(str(virgin / "runs/demo/untrained"), args=args, train_dataset=rows)
    for row, seen in zip(rows, trainer.train_dataset):
        supervised = [token for token in seen["labels"] if token != -100]
        text = trainer.processing_class.decode(supervised)
        assert text == row["completion"][0]["content"] + "<|im_end|>"
        prompt = trainer.processing_class.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        assert trainer.processing_class.decode(seen["input_ids"]) == prompt + text
        # In evaluation the prompt is tokenised alone: no token may reach over its end.
        assert seen["input_ids"] == trainer.processing_class(prompt)["input_ids"] + supervised


def test_wrong_input_is_refused_in_one_sentence(virgin: Path) -> None:
    ended = _launch(virgin, "--dataset_config", "oracle-fin-arith")
    assert ended.returncode != 0
    assert "sft.py: Unknown granularity 'fin': use `fine`" in ended.stderr


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_parses_strictly_and_tells_its_command(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SFT.parent)
    import sft

    script_args, training_args, model_args, path = sft.parse(
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


def test_the_papers_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SFT.parent)
    import sft

    _, args, _, _ = sft.parse(["--model_name_or_path", "x"])
    assert (args.learning_rate, args.lr_scheduler_type, args.warmup_steps, args.num_train_epochs) == (
        5e-5,
        "cosine",
        0,
        3,
    )
    assert (args.effective_batch_size, args.max_length, args.seed, args.packing, args.max_grad_norm) == (
        64,
        4096,
        100,
        False,
        1.0,
    )

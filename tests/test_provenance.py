"""The hash of a recipe: what decides the weights is in it, and nothing else."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cot_distill_datasets import provenance


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "training")
    monkeypatch.chdir(workplace)
    import sft

    def begin(*args: str, rows_sha256: str = "a", template: str = "b") -> provenance.Provenance:
        *arguments, recipe = sft.parse(list(args))
        return provenance.begin(
            *arguments, student="x", recipe=recipe, examples=1, rows_sha256=rows_sha256, template=template
        )

    return begin


@pytest.fixture
def recipe_hash(begin: Any) -> Any:
    return lambda *args, **named: begin(*args, **named).recipe_sha256


@pytest.mark.parametrize(
    "args",
    [
        ["--per_device_train_batch_size", "8"],  # of an effective batch that stays 32
        ["--output_dir", "elsewhere"],
        ["--save_steps", "7"],
        ["--logging_steps", "3"],
        ["--report_to", "tensorboard"],
        ["--num_threads", "1"],
        ["--gradient_checkpointing", "true"],
    ],
    ids=" ".join,
)
def test_where_a_run_computes_and_what_it_logs_is_not_of_the_recipe(recipe_hash: Any, args: list[str]) -> None:
    assert recipe_hash(*args) == recipe_hash()


@pytest.mark.parametrize(
    "args",
    [
        ["--learning_rate", "1e-4"],
        ["--seed", "1"],
        ["--num_train_epochs", "1"],
        ["--effective_batch_size", "64"],
        ["--max_steps", "5"],
        ["--bf16", "true"],
        ["--use_peft", "true"],
        ["--lora_r", "4"],
        ["--coarse_to_fine", "true"],
        ["--model_name_or_path", "another"],
        ["--neftune_noise_alpha", "5"],
    ],
    ids=" ".join,
)
def test_what_decides_the_weights_is_of_the_recipe(recipe_hash: Any, args: list[str]) -> None:
    demo = ["--config", str(Path(__file__).parents[1] / "training/recipes/demo.yaml")]
    assert recipe_hash(*demo, *args) != recipe_hash()


def test_whatever_decides_the_weights_stands_in_the_provenance(begin: Any) -> None:
    made = begin("--neftune_noise_alpha", "5", "--lora_dropout", "0.1", rows_sha256="c")
    told = json.loads(json.dumps(made.arguments))
    assert (told["neftune_noise_alpha"], told["adam_beta2"], told["rows"]) == (5.0, 0.98, "c")
    assert told["model"]["lora_dropout"] == 0.1
    hashed = sha256(json.dumps(told | {"chat_template": "b"}, sort_keys=True).encode()).hexdigest()
    assert hashed == made.recipe_sha256


def test_the_rows_and_the_chat_template_are_of_the_recipe(recipe_hash: Any) -> None:
    assert len({recipe_hash(), recipe_hash(rows_sha256="c"), recipe_hash(template="c")}) == 3

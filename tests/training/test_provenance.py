"""The recipe's hash in the provenance: it covers everything that decides the weights, and nothing else."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.training import arguments


def _provenance(*args: str, rows_sha256: str = "a", chat_template: str = "b") -> Provenance:
    *parsed, recipe = arguments.parse(args)
    return arguments.start_provenance(
        *parsed, student="x", recipe=recipe, examples=1, rows_sha256=rows_sha256, chat_template=chat_template
    )


def _recipe_hash(*args: str, **named: Any) -> str:
    return _provenance(*args, **named).recipe_sha256


@pytest.mark.parametrize(
    "args",
    [
        ["--per_device_train_batch_size", "8"],  # the effective batch size stays 32
        ["--output_dir", "elsewhere"],
        ["--save_steps", "7"],
        ["--logging_steps", "3"],
        ["--report_to", "tensorboard"],
        ["--num_threads", "1"],
        ["--gradient_checkpointing", "true"],
    ],
    ids=" ".join,
)
def test_hardware_and_logging_do_not_change_the_recipe_hash(args: list[str]) -> None:
    assert _recipe_hash(*args) == _recipe_hash()


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
        ["--model_name_or_path", "other"],
        ["--neftune_noise_alpha", "5"],
    ],
    ids=" ".join,
)
def test_what_decides_the_weights_changes_the_recipe_hash(args: list[str]) -> None:
    demo = ["--config", str(ROOT / "training/recipes/demo.yaml")]
    assert _recipe_hash(*demo, *args) != _recipe_hash()


def test_the_rows_and_the_chat_template_change_the_recipe_hash() -> None:
    assert len({_recipe_hash(), _recipe_hash(rows_sha256="c"), _recipe_hash(chat_template="c")}) == 3


def test_the_provenance_holds_what_the_recipe_hash_covers() -> None:
    provenance = _provenance("--neftune_noise_alpha", "5", "--lora_dropout", "0.1", rows_sha256="c")
    hashed = json.loads(json.dumps(provenance.arguments))
    assert (hashed["neftune_noise_alpha"], hashed["adam_beta2"], hashed["rows"]) == (5.0, 0.98, "c")
    assert hashed["model"]["lora_dropout"] == 0.1
    text = json.dumps(hashed | {"chat_template": "b"}, sort_keys=True)
    assert sha256(text.encode()).hexdigest() == provenance.recipe_sha256


def test_a_local_path_is_not_in_the_provenance(tmp_path: Path) -> None:
    own, base = tmp_path / "own", tmp_path / "base"
    for folder in (own, base, tmp_path / "other/base"):
        folder.mkdir(parents=True)
    data = ["--dataset_name", str(own), "--output_dir", str(tmp_path / "out")]
    provenance = _provenance("--model_name_or_path", str(base), *data)
    assert (provenance.base_model, provenance.dataset, provenance.dataset_is_on_hub) == ("base", "own", False)
    assert str(tmp_path) not in json.dumps(asdict(provenance))
    other = _provenance("--model_name_or_path", str(tmp_path / "other/base"), *data)
    assert other.base_model == "base" and other.recipe_sha256 != provenance.recipe_sha256

"""The arguments of `training/sft.py`: their help, recipes, and what is rejected before a training starts."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training import arguments
from cot_distill_datasets.training.checkpoints import mark_checkpoint


SFT, DEMO = str(ROOT / "training/sft.py"), str(ROOT / "training/recipes/demo.yaml")
UNSUPPORTED = [
    "trust_remote_code=true", "packing=true", "padding_free=true", "truncation_mode=keep_end", "eval_strategy=steps",
    "load_in_4bit=true", "load_in_8bit=true", 'model_init_kwargs={"trust_remote_code":true}', "data_seed=1",
    "gradient_accumulation_steps=8", "auto_find_batch_size=true", "shuffle_dataset=true", "save_only_model=true",
    "ignore_data_skip=true", "resume_from_checkpoint=x", "push_to_hub=true", "assistant_only_loss=true",
]  # fmt: skip


def _parse_error(*args: str) -> str:
    with pytest.raises(CotDistillError) as error:
        arguments.parse(args)
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[sys.executable], [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]])
def test_help_shows_arguments_of_every_group(launcher: list[str], tmp_path: Path) -> None:
    result = subprocess.run([*launcher, SFT, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    shown = {
        "--config",
        "--dataset_config",
        "--effective_batch_size",
        "--lora_r",
    }  # script, training and model arguments
    words = result.stdout.split()
    assert shown <= set(words) and "--packing" not in words  # it has one allowed value
    text = " ".join(words)
    assert "Default: demo." in text and "Peak learning rate. (default: 5e-05)" in text
    assert "Default: runs/{student}/{config}/seed{seed}." in text and "(default: None)" not in text
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("argument", UNSUPPORTED)
def test_an_unsupported_value_is_rejected(argument: str) -> None:
    name, _, value = argument.partition("=")
    assert f"`{name}=" in _parse_error(f"--{name}", value)


def test_a_single_kept_checkpoint_is_rejected() -> None:
    assert "`save_total_limit` must be at least 2" in _parse_error("--save_total_limit", "1")


def test_one_process_uses_one_of_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    _, training_args, _, _ = arguments.parse(["--bf16", "false"])
    assert (training_args.n_gpu, training_args.train_batch_size * training_args.gradient_accumulation_steps) == (1, 32)


@pytest.mark.parametrize("size", [0, 33])
def test_an_effective_batch_that_the_processes_cannot_share_is_rejected(size: int) -> None:
    assert f"batch size {size} is not a multiple of 32" in _parse_error("--effective_batch_size", str(size))


def test_an_unknown_argument_names_the_nearest() -> None:
    message = _parse_error("--lerning_rate", "1")
    assert "'lerning_rate'" in message and "use `learning_rate`" in message


def test_a_recipe_may_be_passed_with_an_equals_sign() -> None:
    _, training_args, _, recipe = arguments.parse([f"--config={DEMO}", "--seed=7"])
    assert (recipe, training_args.seed) == (DEMO, 7)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("learning_rte: 1.0e-5\n", "'learning_rte': use `learning_rate`"),
        ("env: {HF_TOKEN: x}\n", "'env'"),
        ("- a\n", "not a mapping"),
        ("a: [\n", "line 2"),
        (None, "There is no file"),
        ("seed: 1\nseed: 2\n", "`seed` is there twice"),
        ("lr_scheduler_kwargs: {a: 1, a: 2}\n", "`a` is there twice"),
        ("max_length: [1]\n", "`max_length: [1]`"),
        ("model_name_or_path: 5\n", "`model_name_or_path: 5`"),
        ("dataset_config: {a: 1}\n", "`dataset_config: {'a': 1}`"),
        ("save_strategy: no\n", "`save_strategy: False`"),
        ("seed: true\n", "`seed: True`"),
    ],
)
def test_a_broken_recipe_is_rejected(tmp_path: Path, text: str | None, data: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    if text is not None:
        recipe.write_text(text)
    message = _parse_error("--config", str(recipe))
    assert str(recipe) in message and data in message


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_recipe_that_is_not_utf_8_is_rejected(tmp_path: Path, encoding: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes("student: é\n".encode(encoding))
    assert str(recipe) in _parse_error("--config", str(recipe))


def _main_error(sft: ModuleType, *args: str) -> str:
    with pytest.raises(CotDistillError) as error:
        sft.main(*arguments.parse(["--report_to", "none", *args]))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("config", "nearest"), [("orakel-l3-arith", "`oracle-l3-arith`"), ("oracle-fin-arith", "use `fine`")]
)
def test_an_unknown_config_names_the_nearest_and_leaves_no_folder(sft: ModuleType, config: str, nearest: str) -> None:
    assert nearest in _main_error(sft, "--dataset_config", config)
    assert [path.name for path in Path("runs/demo").iterdir()] == ["untrained"]


def test_an_output_folder_that_cannot_be_written_is_rejected(sft: ModuleType) -> None:
    Path("file").write_text("")
    assert "file/student" in _main_error(sft, "--output_dir", "file/student")


def test_checkpoints_of_a_different_recipe_are_kept(sft: ModuleType) -> None:
    checkpoint = Path("out/checkpoint-2")
    checkpoint.mkdir(parents=True)
    mark_checkpoint(checkpoint, "f" * 64, 1.0, "none")
    assert "out/checkpoint-2 was written by a different recipe" in _main_error(sft, "--output_dir", "out")
    assert (checkpoint / "whole.json").is_file()


def test_coarse_to_fine_rejects_a_sampler_that_shuffles(sft: ModuleType) -> None:
    mixture = ["--dataset_config", "0.5*oracle-l1-arith+0.5*oracle-l3-arith", "--coarse_to_fine", "true"]
    message = _main_error(sft, *mixture, "--train_sampling_strategy", "random")
    assert "`coarse_to_fine`" in message and "batch_rebalance" in message

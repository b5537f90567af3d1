"""What `training/sft.py` refuses before it trains, in one sentence each."""

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
from conftest import run_on_full_disk
from datasets import Dataset

from cot_distill_datasets.taxonomy import CotDistillError


ROOT = Path(__file__).parents[1]


def _refusal(sft: ModuleType, *args: str) -> str:
    with pytest.raises(CotDistillError) as refused:
        sft.main(*sft.parse(["--report_to", "none", *args]))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_config_that_does_not_exist(sft: ModuleType) -> None:
    assert "has no config 'orakel-l3-arith': use `oracle-l3" in _refusal(sft, "--dataset_config", "orakel-l3-arith")
    assert "Unknown granularity 'fin': use `fine`" in _refusal(sft, "--dataset_config", "oracle-fin-arith")


def test_an_edition_that_the_folder_is_not_of(sft: ModuleType) -> None:
    said = _refusal(sft, "--dataset_revision", "paper")
    assert said.startswith(
        "The folder eit/cot-distill holds the edition `clean` (`main`, v0.1.0), and `dataset_revision`"
    )


def _dataset(folder: Path) -> Path:
    """Write a dataset of one config without its rows, and return the path that they are to have."""
    folder.mkdir()
    front = "configs:\n- config_name: oracle-l3-arith\n  data_files:\n  - split: train\n    path: train.parquet\n"
    (folder / "README.md").write_text(f"---\n{front}---\n")
    return folder / "train.parquet"


def test_a_split_without_rows(sft: ModuleType) -> None:
    Dataset.from_dict({"prompt": [], "completion": []}).to_parquet(_dataset(Path("empty")))
    said = _refusal(sft, "--dataset_name", "empty")
    assert said == 'empty has no training rows of `oracle-l3-arith`: Instruction "train" corresponds to no data!'


def test_a_file_that_is_no_parquet(sft: ModuleType) -> None:
    _dataset(Path("broken")).write_bytes(b"PAR1 cut off")
    said = _refusal(sft, "--dataset_name", "broken")
    assert said.startswith("broken has no training rows of `oracle-l3-arith`: Parquet magic bytes not found")


def test_a_disk_that_is_full_before_the_rows_are_cached(sft: ModuleType, tmp_path: Path) -> None:
    new = os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    ended = run_on_full_disk(str(ROOT / "training/sft.py"), limit=60_000, env=new)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    said = ended.stderr.strip().splitlines()[-1]
    assert said.startswith("sft.py: The rows of `oracle-l3-arith` in eit/cot-distill cannot be read or cached: ")
    assert "File too large" in said


def test_a_recipe_for_another_architecture(sft: ModuleType) -> None:
    gemma = ["--config", str(ROOT / "training/recipes/gemma-3-270m.yaml")]
    said = _refusal(sft, *gemma, "--model_name_or_path", "runs/demo/untrained")
    assert "`<start_of_turn>`, which is no token of runs/demo/untrained: the recipe is for another arch" in said


def test_a_base_model_that_is_nowhere(sft: ModuleType) -> None:
    said = _refusal(sft, "--model_name_or_path", "no/such-model")
    assert said.startswith("no/such-model cannot be loaded (") and "hf auth login" in said


def test_a_base_model_without_a_chat_template(sft: ModuleType) -> None:
    Path("runs/demo/untrained/chat_template.jinja").unlink()
    said = _refusal(sft, "--model_name_or_path", "runs/demo/untrained")
    assert said.endswith("has no chat template: give it one of training/templates/ as `--chat_template_path`.")


def test_a_chat_template_that_is_no_file(sft: ModuleType) -> None:
    said = _refusal(sft, "--chat_template_path", "training/templates/chatlm.jinja")
    assert "training/templates/chatlm.jinja" in said and "`chatml.jinja`" in said


def test_a_folder_that_cannot_be_written(sft: ModuleType) -> None:
    Path("file").write_text("")
    assert _refusal(sft, "--output_dir", "file/student").startswith("file/student cannot be written (")


def test_checkpoints_of_another_recipe(sft: ModuleType) -> None:
    checkpoint = Path("out/checkpoint-2")
    checkpoint.mkdir(parents=True)
    (checkpoint / "whole.json").write_text(json.dumps({"recipe_sha256": "f" * 64, "seconds": 1}))
    assert "out/checkpoint-2 is of another recipe" in _refusal(sft, "--output_dir", "out", "--max_steps", "1")
    assert (checkpoint / "whole.json").is_file()


def test_a_batch_that_the_processes_cannot_share(sft: ModuleType) -> None:
    assert "The effective batch size of 33 is no multiple of 32" in _refusal(sft, "--effective_batch_size", "33")
    assert "The effective batch size of 0 is no multiple of 32" in _refusal(sft, "--effective_batch_size", "0")


def test_an_order_that_the_sampler_would_not_keep(sft: ModuleType) -> None:
    mixture = ["--dataset_config", "0.5*oracle-l1-arith+0.5*oracle-l3-arith", "--coarse_to_fine", "true"]
    said = _refusal(sft, *mixture, "--train_sampling_strategy", "random")
    assert said == "`coarse_to_fine` needs `train_sampling_strategy: batch_rebalance`: others shuffle."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("trust_remote_code", "true", "`trust_remote_code` stays False here: it runs what a repo says."),
        ("packing", "true", "`packing` stays False here"),
        ("padding_free", "true", "`padding_free` stays False here"),
        ("truncation_mode", "keep_end", "`truncation_mode` stays 'keep_start' here"),
        ("eval_strategy", "steps", "`eval_strategy` stays 'no' here"),
        ("model_init_kwargs", '{"trust_remote_code": true}', "`model_init_kwargs` stays None here"),
        ("gradient_accumulation_steps", "8", "`gradient_accumulation_steps` stays 1 here"),
        ("auto_find_batch_size", "true", "`auto_find_batch_size` stays False here"),
        ("shuffle_dataset", "true", "`shuffle_dataset` stays False here"),
        ("data_seed", "1", "`data_seed` stays None here"),
        ("save_only_model", "true", "`save_only_model` stays False here"),
        ("ignore_data_skip", "true", "`ignore_data_skip` stays False here"),
        ("resume_from_checkpoint", "x", "`resume_from_checkpoint` stays None here"),
        ("push_to_hub", "true", "`push_to_hub` stays False here"),
        ("load_in_4bit", "true", "`load_in_4bit` stays False here"),
        ("save_total_limit", "1", "`save_total_limit` is 2 or more"),
        ("pad_token", "<pad>", "has `<pad>`, which is no token of runs/demo/untrained"),
    ],
)
def test_arguments_of_trl_that_would_go_unheard(sft: ModuleType, name: str, value: str, said: str) -> None:
    assert said in _refusal(sft, f"--{name}", value)


def test_a_refusal_leaves_no_folder_behind(sft: ModuleType) -> None:
    _refusal(sft, "--dataset_config", "orakel-l3-arith")
    assert [path.name for path in Path("runs/demo").iterdir()] == ["untrained"]


def test_a_recipe_may_be_given_with_an_equals_sign(sft: ModuleType) -> None:
    *_, recipe = sft.parse([f"--config={ROOT / 'training/recipes/demo.yaml'}", "--seed=7"])
    assert recipe == str(ROOT / "training/recipes/demo.yaml")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("learning_rte: 1.0e-5\n", "recipe.yaml has 'learning_rte', which is no argument: use `learning_rate`"),
        ("env: {HF_TOKEN: x}\n", "recipe.yaml has 'env', which is no argument"),
        ("- a\n", "recipe.yaml is no mapping of names to values"),
        ("a: [\n", "recipe.yaml cannot be read"),
    ],
)
def test_a_recipe_is_read_strictly(sft: ModuleType, recipe: str, said: str) -> None:
    Path("recipe.yaml").write_text(recipe)
    with pytest.raises(CotDistillError, match=said):
        sft.parse(["--config", "recipe.yaml"])


def test_a_recipe_that_is_not_there(sft: ModuleType) -> None:
    with pytest.raises(CotDistillError, match=r"The recipe nowhere\.yaml cannot be read"):
        sft.parse(["--config", "nowhere.yaml"])


def test_a_flag_that_does_not_exist_names_the_nearest(sft: ModuleType) -> None:
    with pytest.raises(CotDistillError, match="has 'lerning_rate', which is no argument: use `learning_rate`"):
        sft.parse(["--lerning_rate", "1"])

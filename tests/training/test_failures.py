"""Whatever ends a run before its first step is one sentence, and writes nothing."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from datasets import Dataset
from support import ROOT
from transformers import AutoModelForCausalLM

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training import arguments
from cot_distill_datasets.training.failures import as_message


@pytest.fixture
def sft(sft: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`training/sft.py`, which trains on at most 40 rows."""
    load = sft.load_rows
    monkeypatch.setattr(sft, "load_rows", lambda *args: load(*args).take(40))
    return sft


def _error(sft: ModuleType, *args: str) -> str:
    with pytest.raises(CotDistillError) as error:
        sft.main(*arguments.parse(["--max_steps", "1", "--save_strategy", "no", *args]))
    assert "\n" not in str(error.value)
    assert not Path("runs/demo/oracle-l3-arith").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("args", "data"),
    [
        ("--num_train_epochs 0", "`num_train_epochs` is 0"),
        ("--max_steps 0", "`max_steps` is 0"),
        ("--learning_rate nan", "`learning_rate` is nan"),
        ("--weight_decay inf", "`weight_decay` is inf"),
        ("--warmup_steps -1", "`warmup_steps` is -1"),
        ("--seed -1", "`seed` is -1"),
        ("--per_device_train_batch_size 0", "`per_device_train_batch_size` is 0"),
        ("--num_threads -3", "`num_threads` is -3"),
        ("--use_peft true --lora_r 0", "`lora_r` is 0"),
        ("--output_dir=", "`output_dir` is empty"),
        ("--student ../x", "`student` is '../x'"),
        ("--bf16 true --fp16 true", "fp16 and bf16"),
        ("--lr_scheduler_type nonsense", "see `lr_scheduler_type`"),
        ("--optim nonsense", "--optim"),
        ("--logging_steps 1.5", "see `logging_steps`"),
        ("--load_best_model_at_end true", "`load_best_model_at_end=True`"),
        ("--no_bf16", "'no_bf16': use `bf16`"),
        ("--config demo --config demo", "`--config` is there twice"),
        ("--dataset_config 0.2*oracle-l1-arith + 0.8*oracle-l3-arith", "`+` belongs to no argument"),
        ("--model_name_or_path", "--model_name_or_path"),
        ("--report_to nonsense", "`report_to=nonsense`"),
        ("--report_to mlflow", "`pip install mlflow`"),
        ("--seed 1099511627776", "see `seed`"),
        ("--attn_implementation nonsense", "see `attn_implementation`"),
        ("--attn_implementation flash_attention_2", "see `attn_implementation`"),
        ("--use_peft true --lora_target_modules query", "see `lora_target_modules`"),
        ("--save_strategy best", "see `save_strategy`"),
        ("--optim adamw_bnb_8bit", "bitsandbytes"),
        ("--adam_beta1 2", "step 1 (Invalid beta"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(sft: ModuleType, args: str, data: str) -> None:
    assert data in _error(sft, *args.split())


@pytest.mark.slow
@pytest.mark.parametrize("args", ["--deepspeed nowhere.json", "--bf16 true --fp16 true", "0.2*a + 0.8*b"])
def test_the_command_prints_one_line_and_leaves_an_empty_folder(tmp_path: Path, args: str) -> None:
    command = [sys.executable, str(ROOT / "training/sft.py"), *args.split()]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2 and line.startswith("sft.py: ")
    assert not any(tmp_path.iterdir())


def test_an_error_of_a_later_step_keeps_its_traceback(sft: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first_steps = iter([False])

    def fail(*_: Any) -> None:
        if next(first_steps, True):
            raise ZeroDivisionError

    monkeypatch.setattr(sft.CotTrainer, "_stop_unless_finite", fail)
    args = ["--max_steps", "2", "--save_strategy", "no"]
    with pytest.raises(ZeroDivisionError):
        sft.main(*arguments.parse(args))


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("FlashAttention2 is missing", ["attn_implementation"]),
        ("the learning rate is too high", ["learning_rate"]),
        ("try max_split_size_mb. See documentation for memory management", []),
        ("Use a seed below 2**32", ["seed"]),
    ],
)
def test_an_argument_is_named_if_its_name_or_value_is_in_the_message_in_any_spelling(
    message: str, named: list[str]
) -> None:
    given = {"attn_implementation": "flash_attention_2", "learning_rate": 5e-5, "seed": 1}
    error = str(as_message("The training stopped in step 2", ValueError(message), given))
    assert re.findall(r"`(\w+)`", error) == named


def _change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _with_few_embeddings(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(200)
    model.save_pretrained(base)


def _with_nan_weights(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    model.lm_head.weight.data[5] = float("nan")
    model.save_pretrained(base)


def _with_code(base: Path) -> None:
    _change_json(base / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    _change_json(base / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]})
    (base / "own.py").write_text("open('executed', 'w')")


def _without_a_type(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "model_type"}))


def _write(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda base: (base / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("damage", "data"),
    [
        (_write("adapter_config.json", "{}"), "LoRA adapter"),
        (_write("tokenizer.json", '{"version'), "Cannot load base"),
        (_write("config.json", "null"), "base"),
        (_write("model.safetensors", (2**60).to_bytes(8, "little")), "training of base cannot start"),
        (lambda base: _change_json(base / "config.json", vocab_size=10**12), "training of base cannot start"),
        (_without_a_type, "base"),
        (_with_code, "base"),
        (_with_few_embeddings, "200 embeddings"),
        (_with_nan_weights, "NaN"),
        (_write("chat_template.jinja", "{{ ''.__class__.__mro__ }}"), "template of base"),
        (_write("chat_template.jinja", "{% for i in range(10**9) %}x{% endfor %}"), "template of base"),
        (_write("chat_template.jinja", "{{ 'x' * 10**13 }}"), "template of base"),
        (_write("chat_template.jinja", "{% if"), "template of base"),
        (_write("chat_template.jinja", "{{ unknown() }}"), "template of base"),
        (_write("chat_template.jinja", "{{ raise_exception('no') }}"), "template of base"),
        (_write("chat_template.jinja", " "), "leaves out the question"),
    ],
)
def test_a_damaged_or_hostile_base_model_is_named(
    sft: ModuleType, damage: Callable[[Path], object], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", ask)
    damage(shutil.copytree("runs/demo/untrained", Path("base")))
    message = _error(sft, "--model_name_or_path", "base")
    assert data in message and "question was" not in message
    assert not Path("executed").exists()


def test_a_template_that_is_not_utf_8_is_named(sft: ModuleType) -> None:
    Path("latin1.jinja").write_bytes("é{{ messages }}".encode("latin-1"))
    assert "latin1.jinja" in _error(sft, "--chat_template_path", "latin1.jinja")


def _own_rows(rows: list[dict[str, Any]]) -> str:
    Path("own").mkdir()
    Dataset.from_list(rows).to_parquet("own/train.parquet")
    files = "  data_files:\n  - split: train\n    path: train.parquet\n"
    Path("own/README.md").write_text(f"---\nconfigs:\n- config_name: oracle-l3-arith\n{files}---\n")
    return "own"


def _row(question: str, completion: str) -> dict[str, Any]:
    turns = {"prompt": [{"role": "user", "content": question}]}
    return turns | {"id": question, "completion": [{"role": "assistant", "content": completion}]}


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "prompt": "1 + 1?", "completion": "The answer is 2"},
        {"messages": [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]},
        {"conversations": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]},
        _row("1 + 1?", "2") | {"completion": None},
        _row("1 + 1?", " "),
    ],
)
def test_rows_of_another_shape_are_rejected_with_the_right_one(sft: ModuleType, row: dict[str, Any]) -> None:
    message = _error(sft, "--dataset_name", _own_rows([row]))
    assert "own" in message and '`completion` [{"role": "assistant", "content": "text"}]' in message

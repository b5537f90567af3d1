"""The chat templates: the text they render, the tokens they supervise, and a comparison with LLaMA-Factory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, TemplateError
from support import ROOT
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


TEMPLATES = ROOT / "training/templates"
PROMPT, COMPLETION = " 2 + 2?\n\tWhy \n", " It is 4.\nThe answer is 4 "
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)

# By template: the special tokens of its family: BOS, EOS (which ends the completion), and turn markers.
FAMILIES = {
    "chatml": (None, "<|im_end|>", ["<|im_start|>"]),
    "gemma": ("<bos>", "<end_of_turn>", ["<start_of_turn>"]),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"]),
    "alpaca": ("<s>", "</s>", []),
}
# By template: the rendered prompt.
RENDERED = {
    "chatml": f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n",
    "gemma": f"<bos><start_of_turn>user\n{PROMPT}<end_of_turn>\n<start_of_turn>model\n",
    "llama3": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{PROMPT}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "alpaca": f"{ALPACA}### Instruction:\n{PROMPT}\n\n### Response:\n",
}
SEPARATOR = {"chatml": "\n", "gemma": "\n", "llama3": "", "alpaca": "\n\n"}  # between two turns
for_each_template = pytest.mark.parametrize("name", FAMILIES)


def _tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with the special tokens of a template's family."""
    bos, eos, markers = FAMILIES[name]
    alphabet = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    byte_level = Tokenizer(models.BPE(alphabet, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    byte_level.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level,
        **({"bos_token": bos} if bos else {}),
        eos_token=eos,
        pad_token="<pad>",
        additional_special_tokens=markers,
        clean_up_tokenization_spaces=False,
        chat_template=(TEMPLATES / f"{name}.jinja").read_text(),
    )


def _turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def test_every_template_is_tested() -> None:
    files = sorted(path.name for path in TEMPLATES.iterdir())
    assert files == sorted(f"{name}{suffix}" for name in FAMILIES for suffix in (".jinja", ".yaml"))


@for_each_template
def test_a_conversation_renders_byte_for_byte(name: str) -> None:
    tokenizer, (_, eos, _) = _tokenizer(name), FAMILIES[name]
    prompt = tokenizer.apply_chat_template(_turns(PROMPT), tokenize=False, add_generation_prompt=True)
    assert prompt == RENDERED[name]
    conversation = tokenizer.apply_chat_template(_turns(PROMPT, COMPLETION), tokenize=False)
    assert conversation == RENDERED[name] + COMPLETION + eos


@for_each_template
def test_a_second_turn_follows_a_separator(name: str) -> None:
    tokenizer, (bos, eos, _) = _tokenizer(name), FAMILIES[name]
    first, second = RENDERED[name] + COMPLETION + eos, RENDERED[name].removeprefix(ALPACA)
    turns = _turns(PROMPT, COMPLETION, PROMPT)
    rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert rendered == first + SEPARATOR[name] + second.removeprefix(bos or "")


@for_each_template
def test_plain_jinja_renders_the_same_bytes(name: str) -> None:
    bos, eos, _ = FAMILIES[name]
    template = Environment(trim_blocks=True, lstrip_blocks=True).from_string(_tokenizer(name).chat_template)
    values = {"messages": _turns(PROMPT), "add_generation_prompt": True, "bos_token": bos, "eos_token": eos}
    assert template.render(values) == RENDERED[name]
    values |= {"messages": _turns(PROMPT, COMPLETION), "add_generation_prompt": False}
    assert template.render(values) == RENDERED[name] + COMPLETION + eos


@for_each_template
def test_the_declared_bos_token_appears_once_at_the_start(name: str) -> None:
    tokenizer = _tokenizer(name)
    bos = yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text())["bos"]
    ids = tokenizer.apply_chat_template(_turns(PROMPT, COMPLETION, PROMPT), return_dict=True)["input_ids"]
    bos_ids = [tokenizer.convert_tokens_to_ids(bos)] if bos else []
    assert [token for token in ids if token == tokenizer.bos_token_id] == bos_ids
    assert ids[: len(bos_ids)] == bos_ids


@for_each_template
def test_the_declared_stop_strings_are_rendered_outside_the_contents(name: str) -> None:
    rendered = _tokenizer(name).apply_chat_template(_turns("?", "!"), tokenize=False)
    stops = yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text())["stop"]
    assert stops and [stop for stop in stops if stop not in rendered] == []


@pytest.mark.parametrize("name", ["gemma", "alpaca"])
def test_an_unsupported_role_is_rejected(name: str) -> None:
    with pytest.raises(TemplateError, match="system: use user and assistant"):
        _tokenizer(name).apply_chat_template([{"role": "system", "content": "Be terse."}], tokenize=False)


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_eos_token_of_a_recipe_is_that_of_its_template(recipe: Path) -> None:
    values = yaml.safe_load(recipe.read_text())
    if "eos_token" in values:
        assert values["eos_token"] == FAMILIES[Path(values["chat_template_path"]).stem][1]
        assert values.get("pad_token") != values["eos_token"]
    elif "chat_template_path" in values:  # the model's own EOS token is the template's
        assert recipe.stem.startswith(("smollm2", "bloom"))


@pytest.mark.slow
def test_llamafactory_trains_on_the_same_texts(tmp_path: Path) -> None:
    """LLaMA-Factory also supervises the separator behind a turn. Nothing else differs."""
    for name in FAMILIES:
        _tokenizer(name).save_pretrained(tmp_path / name)
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests/llamafactory_prompts.py"), *FAMILIES],
        input=json.dumps(_turns(PROMPT, COMPLETION)),
        cwd=tmp_path,
        env=os.environ | {"DISABLE_VERSION_CHECK": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {
        name: [RENDERED[name], COMPLETION + FAMILIES[name][1] + SEPARATOR[name]] for name in FAMILIES
    }

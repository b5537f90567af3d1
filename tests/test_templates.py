"""The chat templates: what they render, what of it is supervised, and that it is what LLaMA-Factory trains on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


ROOT = Path(__file__).parent.parent
PROMPT, COMPLETION = " 2 + 2?\n\tWhy \n", " It is 4.\nThe answer is 4 "
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)

# By template: the special tokens of its family (BOS, end token, markers), and the rendered prompt. The end token ends
# the completion.
FAMILIES = {
    "chatml": (None, "<|im_end|>", ["<|im_start|>"]),
    "gemma": ("<bos>", "<end_of_turn>", ["<start_of_turn>"]),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"]),
    "alpaca": ("<s>", "</s>", []),
}
RENDERED = {
    "chatml": f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n",
    "gemma": f"<bos><start_of_turn>user\n{PROMPT}<end_of_turn>\n<start_of_turn>model\n",
    "llama3": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{PROMPT}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "alpaca": f"{ALPACA}### Instruction:\n{PROMPT}\n\n### Response:\n",
}
BEHIND = {"chatml": "\n", "gemma": "\n", "llama3": "", "alpaca": "\n\n"}  # what stands between two turns
EVERY = pytest.mark.parametrize("name", FAMILIES)


def _tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes that has the family's special tokens."""
    bos, end, markers = FAMILIES[name]
    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytewise = Tokenizer(models.BPE(vocabulary, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytewise.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        **({"bos_token": bos} if bos else {}),
        eos_token=end,
        pad_token="<pad>",
        additional_special_tokens=markers,
        clean_up_tokenization_spaces=False,
        chat_template=(ROOT / f"training/templates/{name}.jinja").read_text(),
    )


def _turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def test_every_template_is_tested() -> None:
    assert {path.stem for path in (ROOT / "training/templates").iterdir()} == set(FAMILIES)


@EVERY
def test_a_prompt_is_rendered_byte_for_byte_and_is_what_a_completion_follows(name: str) -> None:
    tokenizer, (_, end, _) = _tokenizer(name), FAMILIES[name]
    prompt = tokenizer.apply_chat_template(_turns(PROMPT), tokenize=False, add_generation_prompt=True)
    assert prompt == RENDERED[name]
    whole = tokenizer.apply_chat_template(_turns(PROMPT, COMPLETION), tokenize=False)
    assert whole == RENDERED[name] + COMPLETION + end


@EVERY
def test_a_second_turn_stands_as_the_first_behind_what_separates_them(name: str) -> None:
    tokenizer, (bos, end, _) = _tokenizer(name), FAMILIES[name]
    first, second = RENDERED[name] + COMPLETION + end, RENDERED[name].removeprefix(ALPACA)
    if name in ("gemma", "llama3"):
        second = second.removeprefix(bos or "")
    turns = _turns(PROMPT, COMPLETION, PROMPT)
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        first + BEHIND[name] + second
    )


@EVERY
def test_supervised_are_exactly_the_completion_and_its_end_token(name: str) -> None:
    tokenizer, (_, end, _) = _tokenizer(name), FAMILIES[name]
    seen = tokenizer.apply_chat_template(
        _turns(PROMPT, COMPLETION, PROMPT, COMPLETION), return_dict=True, return_assistant_tokens_mask=True
    )
    supervised = [token for token, mask in zip(seen["input_ids"], seen["assistant_masks"]) if mask]
    assert tokenizer.decode(supervised) == (COMPLETION + end) * 2
    assert supervised.count(tokenizer.eos_token_id) == 2 and seen["assistant_masks"][-1] == 1


@pytest.mark.parametrize(("name", "count"), [("chatml", 0), ("gemma", 1), ("llama3", 1), ("alpaca", 0)])
def test_bos_stands_once_where_the_family_wants_it_and_nowhere_else(name: str, count: int) -> None:
    tokenizer = _tokenizer(name)
    ids = tokenizer.apply_chat_template(_turns(PROMPT, COMPLETION, PROMPT), return_dict=True)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == count
    assert not count or ids[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("name", ["gemma", "alpaca"])
def test_a_role_without_a_place_is_refused(name: str) -> None:
    with pytest.raises(Exception, match="no role system: use user and assistant"):
        _tokenizer(name).apply_chat_template([{"role": "system", "content": "Be terse."}], tokenize=False)


@pytest.mark.parametrize("recipe", sorted((ROOT / "training/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_end_token_of_a_recipe_is_its_templates(recipe: Path) -> None:
    values = yaml.safe_load(recipe.read_text())
    if "eos_token" in values:
        assert values["eos_token"] == FAMILIES[Path(values["chat_template_path"]).stem][1]
        assert values.get("pad_token") != values["eos_token"]
    elif "chat_template_path" in values:  # its own end token is the template's already
        assert recipe.stem.startswith(("smollm2", "bloom"))


def test_llamafactory_trains_on_the_same_texts(tmp_path: Path) -> None:
    """It supervises what stands behind a turn too, where that is written with it: nothing else differs."""
    for name in FAMILIES:
        _tokenizer(name).save_pretrained(tmp_path / name)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tests/llamafactory_prompts.py"), *FAMILIES],
        input=json.dumps(_turns(PROMPT, COMPLETION)),
        cwd=tmp_path,
        env=os.environ | {"DISABLE_VERSION_CHECK": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        name: [RENDERED[name], COMPLETION + FAMILIES[name][1] + BEHIND[name]] for name in FAMILIES
    }

"""The base model's tokenizer: a recipe that does not fit it is rejected."""

from pathlib import Path

import pytest
from support import ROOT
from transformers import PreTrainedTokenizerBase

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training import arguments
from cot_distill_datasets.training.models import load_tokenizer


@pytest.fixture
def base(project_dir: Path) -> str:
    """The folder of a base model with a chat template."""
    return str(project_dir / "runs/demo/untrained")


def _load(base: str, *args: str) -> PreTrainedTokenizerBase:
    _, training_args, model_args, _ = arguments.parse(["--model_name_or_path", base, *args])
    return load_tokenizer(model_args, training_args)


def _error(base: str, *args: str) -> str:
    with pytest.raises(CotDistillError) as error:
        _load(base, *args)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_recipe_of_a_different_architecture_is_rejected(base: str) -> None:
    message = _error(base, "--config", str(ROOT / "training/recipes/gemma-3-270m.yaml"))
    assert "`<start_of_turn>`" in message and base in message


def test_a_pad_token_that_is_not_in_the_vocabulary_is_rejected(base: str) -> None:
    message = _error(base, "--pad_token", "<pad>")
    assert "`<pad>`" in message and base in message


def test_a_missing_base_model_is_rejected() -> None:
    message = _error("no/such-model")
    assert "no/such-model" in message and "hf auth login" in message


def test_a_base_model_without_a_chat_template_needs_one(base: str, tmp_path: Path) -> None:
    for path in Path(base).iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    message = _error(str(tmp_path))
    assert str(tmp_path) in message and "`--chat_template_path`" in message
    template = "training/templates/chatml.jinja"
    for name in (template, "chatml"):
        assert _load(str(tmp_path), "--chat_template_path", name).chat_template == (ROOT / template).read_text()


def test_a_template_is_kept_without_generation_tags_and_not_read_again(base: str, tmp_path: Path) -> None:
    path = tmp_path / "tagged.jinja"
    path.write_text("{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}")
    _, training_args, model_args, _ = arguments.parse(
        ["--model_name_or_path", base, "--chat_template_path", str(path)]
    )
    template = load_tokenizer(model_args, training_args).chat_template
    assert template == "{% for m in messages %}{% if true %}{{ m['content'] }}{% endif %}{% endfor %}"
    assert training_args.chat_template_path is None  # TRL reads it again


def test_a_template_without_end_is_rejected(base: str, tmp_path: Path) -> None:
    (tmp_path / "huge.jinja").write_text("{{ 'x' * 10**11 }}")
    message = _error(base, "--chat_template_path", str(tmp_path / "huge.jinja"))
    assert base in message and "5 seconds or 1 GB" in message


@pytest.mark.parametrize("template", ["", "{# nothing #}", "Answer the question."])
def test_a_template_without_the_question_is_rejected(base: str, tmp_path: Path, template: str) -> None:
    (tmp_path / "silent.jinja").write_text(template)
    message = _error(base, "--chat_template_path", str(tmp_path / "silent.jinja"))
    assert str(tmp_path / "silent.jinja") in message and "the question" in message


def test_a_missing_chat_template_names_the_nearest(base: str) -> None:
    message = _error(base, "--chat_template_path", "chatlm")
    assert "'chatlm'" in message and message.endswith("or `chatml`.")

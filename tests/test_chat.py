"""The checks before a student is asked: its chat template, its BOS token, and the length of its prompts."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment
from support import ROOT, make_provenance
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.benchmarks import TEST_SPLITS
from cot_distill_datasets.chat import OWN_TASK, BosRule, bos_rule, check_prompt, check_rendering, plain_template
from cot_distill_datasets.evaluation.results import Student
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate


TEMPLATES = ROOT / "training/templates"
TURN = "{{ '<|im_start|>user\n' + messages[0]['content'] + '<|im_end|>\n<|im_start|>assistant\n' }}"


@pytest.fixture
def student(project_dir: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student, to be modified."""
    return Path(shutil.copytree(project_dir / "runs/demo/untrained", tmp_path / "student"))


def _evaluate(student: Path) -> None:
    evaluate(Student.open(student), ["cot_arith"], EvaluationConfig(backend="hf", limit=2))


def _add_bos(student: Path, template: str, bos: str = "<bos>") -> PreTrainedTokenizerBase:
    """Add a BOS token, which the tokenizer does not add to a text, and a chat template. Return the saved tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokenizer.add_special_tokens({"bos_token": bos})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(student)
    return AutoTokenizer.from_pretrained(student)


def _student_with_bos(student: Path, template: str, bos: str = "<bos>") -> Path:
    tokenizer = _add_bos(student, template, bos)
    model = AutoModelForCausalLM.from_pretrained(student)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(student)
    return student


def test_a_student_without_a_chat_template_is_rejected(student: Path) -> None:
    (student / "chat_template.jinja").unlink()
    with pytest.raises(CotDistillError, match="no chat template"):
        _evaluate(student)


def test_a_student_with_another_template_than_in_training_is_rejected(student: Path) -> None:
    make_provenance(chat_template_sha256="0" * 64).write(student)
    with pytest.raises(CotDistillError, match="000000000000"):
        _evaluate(student)


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% if not add_generation_prompt %}{% set text = 'x' * 10**9 %}{{ text * 3 }}{% endif %}",
    ],
    ids=["endless", "huge"],
)
def test_a_template_that_runs_or_grows_without_end_is_rejected(student: Path, template: str) -> None:
    (student / "chat_template.jinja").write_text(template)
    with pytest.raises(CotDistillError, match=rf"{student} .*5 seconds or 1 GB"):
        _evaluate(student)
    assert not (student / "results").exists()


def test_an_impossible_length_is_rejected(student: Path) -> None:
    (student / "chat_template.jinja").write_text("{{ 'x' * 10**11 }}")
    with pytest.raises(CotDistillError, match="1 GB"):
        _evaluate(student)


@pytest.mark.parametrize("template", ["{{ range(10**9) }}", "{{ unknown() }}", TURN])
def test_a_template_that_ends_with_or_without_an_error_is_rendered_by_the_caller(student: Path, template: str) -> None:
    check_rendering(student, _add_bos(student, template))


def test_a_plain_template_keeps_the_whitespace_control_of_the_tags() -> None:
    tagged = "{%- generation %} {{ 'a' }}\n {% endgeneration -%}\n b {%generation%}c{%+ endgeneration%}"
    plain = plain_template(tagged)
    assert "generation" not in plain and plain_template(plain) == plain
    conversation = [[{"role": "user", "content": "?"}]]
    (expected,), _ = render_jinja_template(conversation, chat_template=tagged)
    assert Environment(trim_blocks=True, lstrip_blocks=True).from_string(plain).render() == expected


@pytest.mark.parametrize(
    ("template", "count"), [(TURN, 0), ("{{ bos_token + bos_token }}" + TURN, 2)], ids=["missing", "doubled"]
)
def test_a_missing_or_doubled_bos_token_is_rejected(student: Path, template: str, count: int) -> None:
    with pytest.raises(CotDistillError, match=rf"`cot_arith`.* {count} BOS tokens \(`<bos>`\), expected 1"):
        _evaluate(_student_with_bos(student, template))


def test_a_prompt_with_one_bos_token_is_accepted(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _evaluate(_student_with_bos(student, "{{ bos_token }}" + TURN))
    assert (student / "results/cot_arith-hf-limit2").is_dir()
    assert "<bos>" not in capsys.readouterr().err


def test_an_unknown_family_without_bos_is_accepted_with_a_warning(
    student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _evaluate(_student_with_bos(student, TURN, bos="<s>"))
    assert (student / "results/cot_arith-hf-limit2").is_dir()
    assert "warning: " in (err := capsys.readouterr().err) and "`<s>`" in err


@pytest.mark.parametrize("bos", ["<bos>", "<|begin_of_text|>"])
def test_the_bos_token_that_a_template_declares_is_required_under_any_template(student: Path, bos: str) -> None:
    assert bos_rule(_add_bos(student, TURN, bos)) == BosRule(True)
    assert bos_rule(_add_bos(student, (TEMPLATES / "chatml.jinja").read_text(), bos)) == BosRule(True)


def test_the_bos_token_that_a_tokenizer_adds_itself_is_required(student: Path) -> None:
    tokenizer = _add_bos(student, TURN, "<s>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert bos_rule(tokenizer) == BosRule(True)


@pytest.mark.parametrize("template", ["chatml", "alpaca"])
def test_a_family_without_bos_under_one_of_our_templates_needs_no_warning(student: Path, template: str) -> None:
    assert bos_rule(_add_bos(student, (TEMPLATES / f"{template}.jinja").read_text(), "<s>")) == BosRule(False)


def test_a_tokenizer_without_a_bos_token_needs_no_warning(student: Path) -> None:
    assert bos_rule(AutoTokenizer.from_pretrained(student)) == BosRule(False)


def test_an_unknown_case_returns_a_warning_that_names_the_token(student: Path) -> None:
    rule = bos_rule(_add_bos(student, TURN, "<s>"))
    assert not rule.required and rule.warning and "`<s>`" in rule.warning


def test_every_template_has_a_file_with_its_bos_token_and_stop_strings() -> None:
    declarations = {path.stem: yaml.safe_load(path.read_text()) for path in TEMPLATES.glob("*.yaml")}
    assert declarations.keys() == {path.stem for path in TEMPLATES.glob("*.jinja")}
    for name, declaration in declarations.items():
        template = (TEMPLATES / f"{name}.jinja").read_text()
        assert declaration.keys() == {"bos", "stop"}
        assert all(stop in template for stop in declaration["stop"])
        assert ("bos_token" in template) == (declaration["bos"] is not None)


def test_every_task_stops_at_the_stop_strings_of_all_templates() -> None:
    stops = sorted(stop for path in TEMPLATES.glob("*.yaml") for stop in yaml.safe_load(path.read_text())["stop"])
    tasks = [path for path in ROOT.glob("eval_tasks/cot_*/*.yaml") if not path.stem.endswith("_paper")]
    assert {path.stem for path in tasks} == {OWN_TASK, *(f"cot_{split}" for split in TEST_SPLITS)}
    for path in tasks:
        assert sorted(yaml.safe_load(path.read_text())["generation_kwargs"]["until"]) == stops, path


def test_a_prompt_that_leaves_no_room_for_the_answer_is_rejected(student: Path) -> None:
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 230}))
    with pytest.raises(CotDistillError, match=r"`cot_arith`.* \d+ tokens, .*`max_gen_toks`"):
        _evaluate(student)
    assert not (student / "results").exists()


def test_a_prompt_may_fill_its_room_exactly(project_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(project_dir / "runs/demo/untrained")
    check_prompt([5, 6, 7], tokenizer, room=3, bos_required=False)
    with pytest.raises(CotDistillError, match=r"3 tokens.* 2 "):
        check_prompt([5, 6, 7], tokenizer, room=2, bos_required=False)

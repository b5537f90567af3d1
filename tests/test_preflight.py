"""What is refused before a student is asked anything."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import provenance_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.preflight import check_prompt


HF = Evaluation(backend="hf", limit=2)
TURN = "{{ '<|im_start|>user\n' + messages[0]['content'] + '<|im_end|>\n<|im_start|>assistant\n' }}"


@pytest.fixture
def student(workplace: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student, to be spoiled."""
    return Path(shutil.copytree(workplace / "runs/demo/untrained", tmp_path / "student"))


def _with_bos(student: Path, template: str, bos: str = "<bos>") -> Path:
    """Give the student a BOS as Gemma has one, and a chat template."""
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokenizer.add_special_tokens({"bos_token": bos})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(student)
    model = AutoModelForCausalLM.from_pretrained(student)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(student)
    return student


def test_a_student_without_a_chat_template(student: Path) -> None:
    (student / "chat_template.jinja").unlink()
    with pytest.raises(CotDistillError, match="has no chat template"):
        evaluate(student, ["cot_arith"], HF)


def test_a_student_with_another_template_than_it_was_trained_with(student: Path) -> None:
    provenance_of(chat_template_sha256="0" * 64).write(student)
    with pytest.raises(CotDistillError, match="not the one it was trained with"):
        evaluate(student, ["cot_arith"], HF)


def test_gemmas_bos_that_nobody_writes(student: Path) -> None:
    with pytest.raises(CotDistillError, match=r"begins with 0 BOS tokens \(`<bos>`\), this family wants exactly one"):
        evaluate(_with_bos(student, TURN), ["cot_arith"], HF)


def test_gemmas_bos_written_twice(student: Path) -> None:
    with pytest.raises(CotDistillError, match="begins with 2 BOS tokens"):
        evaluate(_with_bos(student, "{{ bos_token + bos_token }}" + TURN), ["cot_arith"], HF)


def test_one_bos_is_as_it_should_be(student: Path) -> None:
    evaluate(_with_bos(student, "{{ bos_token }}" + TURN), ["cot_arith"], HF)
    assert (student / "results/cot_arith-hf-limit2").is_dir()


def test_a_family_without_bos_may_have_none(student: Path) -> None:
    evaluate(_with_bos(student, TURN, bos="<s>"), ["cot_arith"], HF)
    assert (student / "results/cot_arith-hf-limit2").is_dir()


def test_a_prompt_that_does_not_fit_before_the_answer(student: Path) -> None:
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 230}))
    with pytest.raises(
        CotDistillError,
        match=r"`cot_arith`: A prompt has \d+ tokens, and .* has room for \d+ before",
    ):
        evaluate(student, ["cot_arith"], HF)
    assert not (student / "results").exists()


def test_the_room_is_exact(workplace: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(workplace / "runs/demo/untrained")
    check_prompt([5, 6, 7], tokenizer, room=3)
    with pytest.raises(CotDistillError, match="has 3 tokens, and the student's context has room for 2"):
        check_prompt([5, 6, 7], tokenizer, room=2)

"""The preflight of training: each rule refuses a student or rows that break it, and says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl
from datasets import Dataset
from transformers import AutoTokenizer

from cot_distill_datasets.supervision import check_supervision, show_mask, stop_strings
from cot_distill_datasets.taxonomy import CotDistillError
from cot_distill_datasets.trainer import CotTrainer
from cot_distill_datasets.training_rows import load_training_rows


TURN = (Path(__file__).parents[1] / "training/templates/chatml.jinja").read_text()
ANSWER = "{{ message['content'] + '<|im_end|>' }}"  # of the assistant, the first in the template


@pytest.fixture(scope="module")
def rows(workplace: Path) -> Dataset:
    rows = load_training_rows(str(workplace / "eit/cot-distill"), "oracle-l3-arith").select(range(40))
    return rows.select_columns(["id", "prompt", "completion"])


@pytest.fixture
def student(workplace: Path, tmp_path: Path) -> Path:
    return shutil.copytree(workplace / "runs/demo/untrained", tmp_path / "student")


Check = Callable[..., list[str]]


@pytest.fixture
def check(student: Path, rows: Dataset, tmp_path: Path) -> Check:
    def check(rows: Dataset = rows, *, allow_cut: bool = False, **settings: Any) -> list[str]:
        args = trl.SFTConfig(str(tmp_path / "out"), use_cpu=True, bf16=False, report_to="none", **settings)
        trainer = CotTrainer(model=str(student), args=args, train_dataset=rows, recipe_sha256="0")
        return check_supervision(trainer, rows, "arith", allow_cut=allow_cut)

    return check


def _with_template(student: Path, template: str, **special: str) -> None:
    (student / "chat_template.jinja").write_text(template)
    path = student / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | special))


def _with_completion(rows: Dataset, completion: str) -> Dataset:
    answer = [{"role": "assistant", "content": completion}]
    return Dataset.from_list([rows[0], rows[1] | {"completion": answer}])


def test_the_demo_student_and_its_rows_pass(check: Check) -> None:
    assert check() == []


def test_a_template_that_puts_something_behind_the_end_token(student: Path, check: Check) -> None:
    _with_template(student, TURN.replace("+ '<|im_end|>' }}{% endgeneration", "+ '<|im_end|>\\n' }}{% endgeneration"))
    with pytest.raises(CotDistillError, match=r"the chat template writes .*<\|im_end\|>\\n' where lm-eval's prompt"):
        check()


def test_a_template_that_trims_the_completion(student: Path, rows: Dataset, check: Check) -> None:
    _with_template(student, TURN.replace(ANSWER, ANSWER.replace("content']", "content'] | trim")))
    with pytest.raises(CotDistillError, match="the chat template writes"):
        check(_with_completion(rows, "2 + 2 = 4.\nThe answer is 4 "))


def test_a_template_without_an_end_token(student: Path, check: Check) -> None:
    _with_template(student, TURN.replace(ANSWER, "{{ message['content'] }}"))
    with pytest.raises(CotDistillError, match="the end token are expected"):
        check()


def test_a_token_that_reaches_over_the_end_of_the_prompt(student: Path, rows: Dataset, check: Check) -> None:
    opened = "('T' if message['role'] == 'assistant' else '')"
    template = TURN.replace("assistant\\n'", "assistant\\nT'").replace(
        "['role'] + '\\n'", f"['role'] + '\\n' + {opened}"
    )
    _with_template(student, template)
    with pytest.raises(CotDistillError, match="does a token reach over the end of the prompt"):
        check(_with_completion(rows, "he answer is 4"))


def test_gemmas_bos_that_nobody_writes(student: Path, check: Check) -> None:
    _with_template(student, TURN, bos_token="<bos>")
    with pytest.raises(CotDistillError, match="begins with 0 BOS tokens"):
        check()


def test_gemmas_bos_written_twice(student: Path, check: Check) -> None:
    _with_template(student, "{{ bos_token + bos_token }}" + TURN, bos_token="<bos>")
    with pytest.raises(CotDistillError, match="begins with 2 BOS tokens"):
        check()


def test_gemmas_bos_written_once_passes(student: Path, check: Check) -> None:
    _with_template(student, "{{ bos_token }}" + TURN, bos_token="<bos>")
    assert check() == []


def test_an_end_token_that_is_the_pad_token_is_still_supervised(student: Path, check: Check) -> None:
    _with_template(student, TURN, pad_token="<|im_end|>")
    assert check() == []


def test_rows_over_the_length_are_refused_unless_told_to(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CotDistillError, match=r"of 40 rows are longer than 40 tokens.*--allow_cut_rows true"):
        check(max_length=40)
    (said,) = check(max_length=40, allow_cut=True)
    assert said in capsys.readouterr().err
    tokenised = int(said.split()[0])
    assert 0 < tokenised < 40


def test_a_length_that_leaves_no_supervised_token_is_refused(check: Check) -> None:
    with pytest.raises(CotDistillError, match="No row has a supervised token within 8 tokens"):
        check(max_length=8)


def test_a_stop_string_in_a_completion_is_refused(rows: Dataset, check: Check) -> None:
    assert "<|im_end|>" in stop_strings("arith")
    with pytest.raises(CotDistillError, match=r"its completion has '<\|im_end\|>', where the task cot_arith stops"):
        check(_with_completion(rows, "2 + 2 = 4.<|im_end|>\nThe answer is 4"))


def test_the_first_row_is_shown_with_what_is_supervised(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(workplace / "runs/demo/untrained")
    prompt, answer = (tokenizer.encode(text, add_special_tokens=False) for text in ("2 ÷ 2?\n", "2 ÷ 2 = 1<|im_end|>"))
    show_mask({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}, tokenizer)
    assert "2 ÷ 2?\n2 ÷ 2 = 1<|im_end|>" in capsys.readouterr().err

"""The checks before the first step: each rule rejects a student or rows that break it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl
from datasets import Dataset
from support import ROOT
from transformers import AutoTokenizer

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training.checks import check_supervision, show_mask, stop_strings
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.trainer import CotTrainer


CHATML = (ROOT / "training/templates/chatml.jinja").read_text()
TURN_END = "message['content'] + '<|im_end|>'"
Check = Callable[..., list[str]]


def _rows(project_dir: Path, config: str) -> Dataset:
    rows = load_rows(config, str(project_dir / "eit/cot-distill")).select(range(40))
    return rows.select_columns(["id", "prompt", "completion"])


@pytest.fixture(scope="module")
def rows(project_dir: Path) -> Dataset:
    return _rows(project_dir, "oracle-l3-arith")


@pytest.fixture
def student(project_dir: Path, tmp_path: Path) -> Path:
    """A copy of the untrained demo student."""
    return shutil.copytree(project_dir / "runs/demo/untrained", tmp_path / "student")


@pytest.fixture
def check(student: Path, rows: Dataset, tmp_path: Path) -> Check:
    """`check_supervision` of the student and rows in a trainer with these settings."""

    def check(rows: Dataset = rows, *, allow_truncation: bool = False, **settings: Any) -> list[str]:
        args = trl.SFTConfig(str(tmp_path / "out"), use_cpu=True, bf16=False, report_to="none", **settings)
        trainer = CotTrainer(model=str(student), args=args, train_dataset=rows, recipe_sha256="0")
        return check_supervision(trainer, rows, "arith", "number", allow_truncation=allow_truncation)

    return check


def _set_template(student: Path, template: str, **special_tokens: str) -> None:
    (student / "chat_template.jinja").write_text(template)
    path = student / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | special_tokens))


def _with_completion(rows: Dataset, completion: str) -> Dataset:
    """Return two rows, of which the second has this completion."""
    answer = [{"role": "assistant", "content": completion}]
    return Dataset.from_list([rows[0], rows[1] | {"completion": answer}])


@pytest.mark.parametrize("config", ["answer-arith", "oracle-l1-arith", "oracle-l3-arith", "oracle-l5-rar-arith"])
def test_the_demo_student_and_its_rows_pass(project_dir: Path, check: Check, config: str) -> None:
    assert check(_rows(project_dir, config)) == []


def test_a_template_with_text_behind_the_eos_token_is_rejected(student: Path, rows: Dataset, check: Check) -> None:
    _set_template(student, CHATML.replace(TURN_END, TURN_END.replace("|>'", "|>\\n'")))
    with pytest.raises(CotDistillError, match=rf"Row {rows[0]['id']}: .*<\|im_end\|>\\n'"):
        check()


def test_a_template_that_trims_the_completion_is_rejected(student: Path, rows: Dataset, check: Check) -> None:
    _set_template(student, CHATML.replace(TURN_END, TURN_END.replace("content']", "content'] | trim")))
    with pytest.raises(CotDistillError, match=rf"Row {rows[1]['id']}: .*4<\|im_end\|>'"):
        check(_with_completion(rows, "2 + 2 = 4.\nThe answer is 4 "))


def test_a_template_without_an_eos_token_is_rejected(student: Path, rows: Dataset, check: Check) -> None:
    _set_template(student, CHATML.replace(TURN_END, "message['content']"))
    with pytest.raises(CotDistillError, match=f"Row {rows[0]['id']}: .*EOS token"):
        check()


def test_a_token_that_spans_the_end_of_the_prompt_is_rejected(student: Path, rows: Dataset, check: Check) -> None:
    first = "('T' if message['role'] == 'assistant' else '')"
    template = CHATML.replace("assistant\\n'", "assistant\\nT'").replace(
        "['role'] + '\\n'", f"['role'] + '\\n' + {first}"
    )
    _set_template(student, template)
    with pytest.raises(CotDistillError, match=rf"Row {rows[1]['id']}: .*'.*he answer is 4<\|im_end\|>'.*spans"):
        check(_with_completion(rows, "he answer is 4"))


def test_a_missing_bos_token_is_rejected(student: Path, check: Check) -> None:
    _set_template(student, CHATML, bos_token="<bos>")
    with pytest.raises(CotDistillError, match="0 BOS tokens"):
        check()
    _set_template(student, "{{ bos_token }}" + CHATML)
    assert check() == []


def test_an_eos_token_that_is_also_the_pad_token_is_supervised(student: Path, check: Check) -> None:
    _set_template(student, CHATML, pad_token="<|im_end|>")
    assert check() == []


def test_truncation_is_rejected_unless_allowed(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CotDistillError, match=r"of 40 rows .* 40 tokens.*--allow_truncation true"):
        check(max_length=40)
    (warning,) = check(max_length=40, allow_truncation=True)
    assert warning in capsys.readouterr().err
    assert 0 < int(warning.split()[0]) < 40  # rows


def test_a_maximum_length_without_a_supervised_token_is_rejected(check: Check) -> None:
    with pytest.raises(CotDistillError, match="8 tokens"):
        check(max_length=8)


def test_a_stop_string_in_a_completion_is_rejected(rows: Dataset, check: Check) -> None:
    assert "<|im_end|>" in stop_strings("arith")
    with pytest.raises(CotDistillError, match=rf"Row {rows[1]['id']}: .*'<\|im_end\|>'.*cot_arith"):
        check(_with_completion(rows, "2 + 2 = 4.<|im_end|>\nThe answer is 4"))


def test_the_mask_of_a_row_is_shown(project_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(project_dir / "runs/demo/untrained")
    prompt, answer = (tokenizer.encode(text, add_special_tokens=False) for text in ("2 ÷ 2?\n", "2 ÷ 2 = 1<|im_end|>"))
    show_mask({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}, tokenizer)
    assert "\n2 ÷ 2?\n>>>2 ÷ 2 = 1<|im_end|><<<\n" in capsys.readouterr().err


def _own(prompt: str, completion: str) -> Dataset:
    """Return three rows of one layout."""
    turns = [
        ([{"role": "user", "content": prompt.format(n)}], [{"role": "assistant", "content": completion}])
        for n in ("Two and 1?", "How many?", "9 - 4?")
    ]
    return Dataset.from_list([{"id": str(n), "prompt": p, "completion": c} for n, (p, c) in enumerate(turns)])


@pytest.mark.parametrize(
    ("prompt", "completion", "data"),
    [
        ("{}", "3 + 4 = 7\n#### 7", "3 of 3 completions"),
        ("{}\nPut your final answer within \\boxed.", "The answer is 7", "Put your final answer within"),
        ("Question: {}", "The answer is 7", "Question: "),
        ("{}", "The answer is 7", None),
    ],
)
def test_rows_that_evaluation_would_ask_or_grade_differently_are_warned_of(
    check: Check, capsys: pytest.CaptureFixture[str], prompt: str, completion: str, data: str | None
) -> None:
    warnings = check(_own(prompt, completion))
    assert [data in warning for warning in warnings] == ([True] if data else [])
    assert all(warning in capsys.readouterr().err for warning in warnings)

"""The texts of a row: the tokens of a training, and exactly the CoT's and the answer's tokens in them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trl
from transformers import PreTrainedTokenizerFast

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.recommend.texts import Text, row_texts
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.models import load_tokenizer
from cot_distill_datasets.training.trainer import CotTrainer


def _tokenizer(project: Path, template: str) -> PreTrainedTokenizerFast:
    names = SimpleNamespace(model_name_or_path=str(project / "runs/demo/untrained"), model_revision="main")
    return load_tokenizer(names, SimpleNamespace(chat_template_path=template, eos_token=None, pad_token=None))


def _decode(text: Text, tokenizer: Any) -> tuple[str, str]:
    """Return what is scored of a text: the CoT and the answer."""
    return tokenizer.decode(text.tokens[text.start : text.stop]), tokenizer.decode(text.tokens[text.answer : text.end])


@pytest.mark.parametrize("template", ["chatml", "alpaca"])
def test_the_tokens_are_those_of_a_training(project: Path, tmp_path: Path, template: str) -> None:
    tokenizer = _tokenizer(project, template)
    rows = load_rows("oracle-l5-arith", str(project / "eit/cot-distill"))
    trainer = CotTrainer(
        model=str(project / "runs/demo/untrained"), processing_class=tokenizer, recipe_sha256="", train_dataset=rows,
        args=trl.SFTConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none"),
    )  # fmt: skip
    for row, trained in zip(rows, trainer.train_dataset):
        text = row_texts(row, "number", tokenizer).full
        assert list(text.tokens) == trained["input_ids"]
        assert [-100] * text.start == trained["labels"][: text.start] and trained["labels"][text.start] != -100


def test_the_cot_and_the_answer_count_and_nothing_else(demo: Base, project: Path) -> None:
    for row in load_rows("oracle-l3-arith", str(project / "eit/cot-distill")):
        full, closing, masked = row_texts(row, "number", demo.tokenizer)
        assert _decode(full, demo.tokenizer) == (f"{row['rationale']}\n", row["answer"])
        assert _decode(closing, demo.tokenizer) == ("", row["answer"])
        assert _decode(masked, demo.tokenizer) == ("", row["answer"])
        text = demo.tokenizer.decode(masked.tokens[masked.start :])
        assert f"= {row['answer']}." not in text and text.endswith(f"\nThe answer is {row['answer']}<|im_end|>")


def _row(rationale: str | None, answer: str = "24") -> dict[str, Any]:
    return {
        "id": "a", "benchmark": "arith", "choices": [], "answer": answer, "rationale": rationale,
        "prompt": [{"role": "user", "content": "How many?"}],
    }  # fmt: skip


def test_a_row_without_cot_or_mentions_has_fewer_texts(demo: Base) -> None:
    full, closing, masked = row_texts(_row(None), "number", demo.tokenizer)
    assert full == closing == masked
    full, closing, masked = row_texts(_row("12 + 11 = 23."), "number", demo.tokenizer)
    assert full == masked != closing
    full, closing, masked = row_texts(_row("24"), "number", demo.tokenizer)
    assert closing == masked != full


def test_a_template_that_changes_the_completion_is_rejected(demo: Base, project: Path) -> None:
    tokenizer = _tokenizer(project, "chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content']", "message['content'] | upper")
    with pytest.raises(CotDistillError, match="Row a"):
        row_texts(_row("12 + 12 = 24."), "number", tokenizer)

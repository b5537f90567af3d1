from pathlib import Path

import pytest
from transformers import AutoTokenizer

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.evaluate import CountingLM, evaluate


def test_a_student_is_scored_and_its_results_lie_in_lm_evals_layout(workplace: Path, tmp_path: Path) -> None:
    score = evaluate(workplace / "runs/demo/untrained", "cot_arith", tmp_path, limit=4)
    assert (score.task, score.n, score.correct) == ("cot_arith", 4, 0)
    assert 1 <= score.mean_output_tokens <= 256
    assert len(list(tmp_path.rglob("results_*.json"))) == len(list(tmp_path.rglob("samples_cot_arith_*.jsonl"))) == 1


def test_output_tokens_are_counted_up_to_and_with_the_end_token(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from lm_eval.models.huggingface import HFLM

    model = CountingLM(pretrained=str(workplace / "runs/demo/untrained"), device="cpu")
    context, end, pad = torch.tensor([[5], [6]]), model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    generated = torch.tensor([[5, 7, 7, end, pad], [6, 7, 7, 7, 7]])
    monkeypatch.setattr(HFLM, "_model_generate", lambda *_, **__: generated)
    model._model_generate(context)
    assert model.output_tokens == 3 + 4


def test_a_student_without_a_chat_template_is_refused(workplace: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    source = workplace / "runs/demo/untrained"
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CotDistillError, match="has no chat template"):
        evaluate(tmp_path, "cot_arith", tmp_path / "out")

"""Forward passes: the same numbers in every batch and on every family, and never all logits at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
)

from cot_distill_datasets.recommend import passes
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.recommend.passes import batches, measure
from cot_distill_datasets.recommend.texts import Text


SMALL = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = {
    "llama": LlamaConfig(**SMALL, intermediate_size=64),
    "gemma3": Gemma3TextConfig(**SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16, sliding_window=8),
    "gemma2 caps its logits": Gemma2Config(
        **SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.01
    ),
    "cohere scales its logits": CohereConfig(**SMALL, intermediate_size=64, logit_scale=0.25),
    "bloom": BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=2),
    "gpt2": GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2),
}


def _texts(count: int) -> list[Text]:
    """Return texts of 12 to 40 random tokens."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(12, 40, count)
    return [Text(tuple(rng.integers(0, 300, n).tolist()), 5, int(n) - 5, int(n) - 3, int(n) - 1) for n in sizes]


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_a_batch_has_the_surprisals_and_ranks_of_each_text_alone(
    demo: Base, config: PreTrainedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    base = replace(demo, model=model)
    monkeypatch.setattr(passes, "TOKENS", 100)
    monkeypatch.setattr(passes, "_LOGITS", 2000)
    texts = _texts(9)
    measures = measure(base, texts)
    assert measures.keys() == set(texts)
    for text in texts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([text.tokens])).logits[0].double()
        log_probs = logits.log_softmax(-1)
        scored = [*range(text.start, text.stop), *range(text.answer, text.end)]
        own = [log_probs[token - 1, text.tokens[token]] for token in scored]
        ranks = [1 + int((log_probs[token - 1] > p).sum()) for token, p in zip(scored, own)]
        of_text = measures[text]
        assert np.allclose([*of_text.surprisals, *of_text.answer], [-float(p) for p in own], atol=1e-4)
        assert of_text.ranks.tolist() == pytest.approx(ranks[: text.stop - text.start], abs=1)  # float32 may tie


def test_logits_are_computed_in_slices_of_the_scored_tokens(demo: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    hook = demo.model.get_output_embeddings().register_forward_hook(lambda *call: sizes.append(call[2].numel()))
    monkeypatch.setattr(passes, "_LOGITS", 20 * 1024)  # the demo student has 1,024 logits
    texts = _texts(30)
    measure(demo, texts)
    hook.remove()
    assert max(sizes) == 20 * 1024
    assert sum(sizes) == 1024 * sum(text.stop - text.start + text.end - text.answer for text in texts)


def test_batches_have_texts_of_similar_length_and_bounded_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "TOKENS", 100)
    texts = _texts(50)
    grouped = list(batches(texts))
    assert {text for batch in grouped for text in batch} == set(texts)
    assert all(len(batch) * max(len(text.tokens) for text in batch) <= 100 for batch in grouped)
    padding = sum(max(len(t.tokens) for t in batch) - len(text.tokens) for batch in grouped for text in batch)
    assert padding < 0.1 * sum(len(text.tokens) for text in texts)
    monkeypatch.setattr(passes, "TOKENS", 5)  # a text may be longer than that
    assert [len(batch) for batch in batches(texts)] == [1] * 50

from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard

from cot_distill_datasets import cards
from cot_distill_datasets.provenance import Provenance


def test_the_dataset_card_tells_the_numbers_of_the_release(full_release: Path) -> None:
    card = DatasetCard.load(full_release / "README.md")
    assert (card.data.license, card.data.pretty_name) == ("apache-2.0", "CoT-Distill")
    assert card.data.to_dict()["size_categories"] == "100K<n<1M"
    assert "| `gpt4o-l5-svamp` | 693 | 699 | 0 | 6 | 99.1 % |" in card.text
    assert "Test splits: `eval-arith` (500), `eval-svamp` (300), `eval-gsm8k` (1319)." in card.text
    assert "CoT of GPT-4o, Gemini-1.5-Flash, LLaMA 3 70B, human annotators: the paper's release" in card.text


def test_the_model_card_tells_what_made_the_student(tmp_path: Path) -> None:
    made = Provenance(
        student="demo", base_model="org/base", dataset="eit/cot-distill", edition="clean", config="gpt4o-l5-svamp",
        data_file=None, train_examples=693, settings={"learning_rate": 5e-5}, hardware="a laptop",
    )  # fmt: skip
    cards.write_model_card(made, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.base_model, card.data.datasets, card.data.library_name) == (
        "org/base", "eit/cot-distill", "transformers",
    )  # fmt: skip
    assert "on 693 rows" in card.text and "| learning_rate | 5e-05 |" in card.text and "cot_svamp" in card.text


def test_a_template_that_asks_for_more_than_it_is_given_fails() -> None:
    with pytest.raises(KeyError, match="provenance"):
        cards._render(ModelCard, DatasetCardData(), "model_card.md.jinja")

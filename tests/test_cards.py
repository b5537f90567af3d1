import re
from pathlib import Path

import pytest
from conftest import provenance_of
from datasets import load_dataset
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData
from jinja2 import UndefinedError

from cot_distill_datasets import cards


def test_the_dataset_card_tells_the_numbers_of_the_release(full_release: Path) -> None:
    card = DatasetCard.load(full_release / "README.md")
    assert (card.data.license, card.data.pretty_name) == (["apache-2.0", "mit", "unknown"], "CoT-Distill")
    assert card.data.to_dict()["size_categories"] == "100K<n<1M"
    assert "| `gpt4o-l5-svamp` | 687 | 699 | 0 | 7 | 99.0 % |" in card.text
    assert "| `human-strategyqa` | 2000 | 2290 | 290 | 0 | 100.0 % |" in card.text
    assert "`eval-math` (3072)" in card.text and "`eval-math500` (500)" in card.text
    assert "The paper's 500 test items are unpublished" in card.text and "DMCA notice by AoPS" in card.text
    assert "| `cut_gold` | 82 | " in card.text and "| other_teacher | 195 |" in card.text
    assert "streaming=True" in card.text and "SFTTrainer(" in card.text and "type: chat_template" in card.text
    for teacher in ("gpt4o", "gemini", "llama70b"):
        assert f"(`{teacher}`) | " in card.text
    assert "82 files of the paper's manifest were not at hand" in card.text


def test_the_numbers_of_the_card_are_those_of_the_rows(full_release: Path) -> None:
    """Counted again from the Parquet, not from the index that the card is written from."""
    text = (full_release / "README.md").read_text()
    rows = load_dataset(str(full_release), "gpt4o-l5-svamp", split="train")
    words = sum(len(row.split()) for row in rows["rationale"]) / rows.num_rows
    assert f"| `gpt4o-l5-svamp` | {rows.num_rows} | 699 | 0 | 7 | 99.0 % | {words:.1f} |" in text


# Source: hub-docs `datasetcard.md` and the Hub's page of licences: what the Hub's own check of a card knows.
HUB_LICENCES = {"apache-2.0", "mit", "unknown", "cdla-sharing-1.0"}
HUB_TASKS = {"text-generation", "question-answering"}
HUB_SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}


def test_the_metadata_of_the_card_is_what_the_hub_takes(full_release: Path) -> None:
    card = DatasetCard.load(full_release / "README.md")  # huggingface_hub's own check of the front matter
    data = card.data.to_dict()
    assert set(data["license"]) <= HUB_LICENCES and set(data["task_categories"]) <= HUB_TASKS
    assert data["size_categories"] in HUB_SIZES and data["language"] == "en"
    assert set(data["annotations_creators"]) <= {"machine-generated", "expert-generated"}
    assert all(re.fullmatch(r"[\w.:-]{1,60}", tag) for tag in data["tags"])
    # What `datasets` itself reads of it (datasets/utils/metadata.py): names, one default, splits, no `<>:/\\|?*`.
    configs = MetadataConfigs.from_dataset_card_data(DatasetCardData(**data))
    assert configs.get_default_config_name() == "oracle-l3-arith"
    assert len(configs) == len(data["configs"]) == len(set(configs))
    assert (full_release / "README.md").stat().st_size < 400_000  # huggingface_hub and the Hub read it whole


@pytest.mark.parametrize("given", [{}, {"made": provenance_of(), "name": "x", "base": {}}])
def test_a_template_that_asks_for_more_than_it_is_given_fails(given: dict[str, object]) -> None:
    with pytest.raises(UndefinedError):
        cards.render_card(ModelCard, ModelCardData(), "model_card.md.jinja", **given)

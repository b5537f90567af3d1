"""The dataset card: its numbers, its metadata, and the tables that come from other modules."""

import re
from pathlib import Path

import pytest
from datasets import load_dataset
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData
from jinja2 import UndefinedError
from support import ROOT, make_provenance

from cot_distill_datasets.release import card as card_module
from cot_distill_datasets.release.card import write_dataset_card
from cot_distill_datasets.release.editions import DEFAULT_EDITION, EDITIONS, Edition
from cot_distill_datasets.release.folder import ConfigStats, Release
from cot_distill_datasets.templates import render_card


def _card(folder: Path, *configs: str) -> str:
    """Return the dataset card of a release with one row a config."""
    stats = [ConfigStats(name, "train", f"data/{name}.parquet", 1, 1) for name in ("oracle-l3-arith", *configs)]
    write_dataset_card(Release("0.1.0", DEFAULT_EDITION, "a grader", stats, [], {}, []), folder)
    return (folder / "README.md").read_text()


@pytest.mark.slow
def test_the_dataset_card_has_the_numbers_of_the_release(full_release: Path) -> None:
    card = DatasetCard.load(full_release / "README.md")
    assert (card.data.license, card.data.pretty_name) == (["apache-2.0", "mit", "unknown"], "CoT-Distill")
    assert card.data.to_dict()["size_categories"] == "100K<n<1M"
    assert "| `gpt4o-l5-svamp` | 687 | 699 | 0 | 7 | 99.0% |" in card.text
    assert "| `human-strategyqa` | 2000 | 2290 | 290 | 0 | 100.0% |" in card.text
    assert "`eval-math` (3072)" in card.text and "`eval-math500` (500)" in card.text
    assert "The paper's 500 test items are unpublished" in card.text and "DMCA notice" in card.text
    assert "| `cut_gold` | 86 | " in card.text and "| other_teacher | 195 |" in card.text
    assert "streaming=True" in card.text and "SFTTrainer(" in card.text and "type: chat_template" in card.text
    for teacher in ("gpt4o", "gemini", "llama70b"):
        assert f"(`{teacher}`) | " in card.text
    assert "- 82 files of the paper's manifest" in card.text
    assert (full_release / "README.md").stat().st_size < 400_000  # huggingface_hub and the Hub read all of it


def test_the_numbers_of_the_card_are_those_of_the_rows(stand_in_release: Path) -> None:
    """Counted again from the Parquet, not from the index that the card is written from."""
    text = (stand_in_release / "README.md").read_text()
    rows = load_dataset(str(stand_in_release), "gpt4o-l1-svamp", split="train")
    words = sum(len(row.split()) for row in rows["rationale"]) / rows.num_rows
    assert f"| `gpt4o-l1-svamp` | {rows.num_rows} | 3 | 0 | 1 | 66.7% | {words:.1f} |" in text


# What the Hub's own check of a card allows. Source: hub-docs `datasetcard.md` and the Hub's page of licenses.
HUB_LICENSES = {"apache-2.0", "mit", "unknown", "cdla-sharing-1.0"}
HUB_TASKS = {"text-generation", "question-answering"}
HUB_SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}


def test_the_metadata_of_the_card_is_valid_on_the_hub(stand_in_release: Path) -> None:
    card = DatasetCard.load(stand_in_release / "README.md")  # huggingface_hub's own check of the front matter
    data = card.data.to_dict()
    assert set(data["license"]) <= HUB_LICENSES and set(data["task_categories"]) <= HUB_TASKS
    assert data["size_categories"] in HUB_SIZES and data["language"] == "en"
    assert set(data["annotations_creators"]) <= {"machine-generated", "expert-generated"}
    assert all(re.fullmatch(r"[\w.:-]{1,60}", tag) for tag in data["tags"])
    # What `datasets` itself reads of it (datasets/utils/metadata.py): names, one default, splits, no `<>:/\\|?*`.
    configs = MetadataConfigs.from_dataset_card_data(DatasetCardData(**data))
    assert configs.get_default_config_name() == "oracle-l3-arith"
    assert len(configs) == len(data["configs"]) == len(set(configs))


def test_no_table_of_the_card_is_empty(tmp_path: Path) -> None:
    card = _card(tmp_path)  # of the embedded benchmark alone, which needs no repairs
    assert "| – | 0 | 0 | nothing was repaired |" in card
    assert not re.search(r"^\|[-:|]+\|\n(?!\|)", card, re.MULTILINE)


def test_a_teacher_without_known_terms_is_listed_as_unknown(tmp_path: Path) -> None:
    card = _card(tmp_path, "mymodel-l2-svamp", "gpt4o-l2-svamp")
    terms = [line for line in card.splitlines() if re.match(r"\| [^|]+ \(`\w+`\) \|", line)]
    assert [re.findall(r"\(`(\w+)`\)", line)[0] for line in terms] == ["gpt4o", "oracle", "mymodel"]
    assert "OpenAI" in terms[0] and "not known" in terms[2]


def test_the_table_of_editions_lists_every_edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EDITIONS, "short", Edition("short", "Short rows.", "test the card", revision="brief"))
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \| (.+) \|$", _card(tmp_path), re.MULTILINE)
    assert rows == [(e.name, e.revision, e.summary, e.purpose) for e in EDITIONS.values()]


def test_the_changelog_of_the_card_comes_from_changelog_md(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "- 0.1.0: First release."
    assert "- First release.\n" in (ROOT / "CHANGELOG.md").read_text() and expected in _card(tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.3.0 (unreleased)\n\n### Package\n\n- Only code.\n\n"
        "## 0.2.0\n\n### Dataset\n\n- More rows,\n  of a new teacher.\n- Fewer flags.\n\n### Package\n\n- Faster.\n\n"
        "## 0.1.0\n\n### Dataset\n\n- Rows.\n"
    )
    monkeypatch.setattr(card_module, "resource", lambda relative: tmp_path / relative)
    section = _card(tmp_path).partition("## Changelog\n")[2].partition("\n## ")[0]
    assert section.split("\n") == ["", "- 0.2.0: More rows, of a new teacher. Fewer flags.", "- 0.1.0: Rows.", ""]


@pytest.mark.parametrize("variables", [{}, {"provenance": make_provenance(), "name": "x", "base": {}}])
def test_a_missing_variable_of_a_template_is_an_error(variables: dict[str, object]) -> None:
    with pytest.raises(UndefinedError):
        render_card(ModelCard, ModelCardData(), "model_card.md.jinja", **variables)

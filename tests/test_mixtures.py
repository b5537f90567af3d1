"""Mixtures of configs: each question once, by weight, in the same way on every machine."""

from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset, concatenate_datasets

from cot_distill_datasets.mixtures import Mixture, coarse_to_fine, mix
from cot_distill_datasets.taxonomy import CotDistillError
from cot_distill_datasets.training_rows import load_mixture, load_training_rows


FINE_AND_COARSE = "0.2*oracle-fine-arith + 0.8*oracle-coarse-arith"


@pytest.fixture
def release(workplace: Path) -> str:
    return str(workplace / "eit/cot-distill")


@pytest.mark.parametrize(
    ("text", "canonical", "folder"),
    [
        ("gpt4o-fine-svamp", "gpt4o-l5-svamp", "gpt4o-l5-svamp"),
        (FINE_AND_COARSE, "0.2*oracle-l5-arith+0.8*oracle-l1-arith", "0.2-oracle-l5-arith+0.8-oracle-l1-arith"),
        (
            "0.33333333333*oracle-l1-arith+0.33333333333*oracle-l3-arith+0.33333333334*oracle-l5-arith",
            "0.33333333333*oracle-l1-arith+0.33333333333*oracle-l3-arith+0.33333333334*oracle-l5-arith",
            "0.33333333333-oracle-l1-arith+0.33333333333-oracle-l3-arith+0.33333333334-oracle-l5-arith",
        ),
        (".5*human-math+.5*gpt4o-l2-math", "0.5*human-math+0.5*gpt4o-l2-math", "0.5-human-math+0.5-gpt4o-l2-math"),
    ],
)
def test_a_mixture_is_parsed_and_printed(text: str, canonical: str, folder: str) -> None:
    mixture = Mixture.parse(text)
    assert (str(mixture), mixture.folder) == (canonical, folder)
    assert Mixture.parse(canonical) == mixture


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.2*gpt4o-l5-svamp+0.7*gpt4o-l1-svamp", "to be above 0 and to sum to 1"),
        ("-0.5*gpt4o-l5-svamp+1.5*gpt4o-l1-svamp", "to be above 0 and to sum to 1"),
        ("gpt4o-l5-svamp+gpt4o-l1-svamp", "to be above 0 and to sum to 1"),
        ("0.5*gpt4o-fine-svamp+0.5*gpt4o-l5-svamp", "stands twice"),
        ("0.5*gpt4o-l5-svamp+0.5*gpt4o-l5-gsm8k", "of several benchmarks"),
        ("half*gpt4o-l5-svamp+0.5*gpt4o-l1-svamp", "a weight that is no number"),
        ("0.2*gpt4o-fin-svamp+0.8*gpt4o-l1-svamp", "Unknown granularity 'fin': use `fine`"),
    ],
)
def test_what_is_no_mixture_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(CotDistillError, match=said):
        Mixture.parse(text)


def test_each_question_appears_once_and_the_weights_are_kept(release: str) -> None:
    rows = load_mixture(release, Mixture.parse(FINE_AND_COARSE), seed=100)
    assert sorted(rows["id"]) == sorted(load_training_rows(release, "oracle-l1-arith")["id"])
    assert Counter(rows["granularity"]) == {1: 3947, 5: 1053}  # of 5,000; a fair draw has 4,000 ± 28


def test_the_seed_decides_which_config_supplies_a_question(release: str) -> None:
    mixture = Mixture.parse(FINE_AND_COARSE)
    first, again, other = (load_mixture(release, mixture, seed=seed)["granularity"][:] for seed in (100, 100, 101))
    assert first == again != other


def test_the_order_of_the_rows_does_not_decide(release: str) -> None:
    mixture = Mixture.parse(FINE_AND_COARSE)
    parts = [load_training_rows(release, str(config)) for config in mixture.configs]
    of_id = {row["id"]: row["granularity"] for row in mix(parts, mixture, seed=1)}
    turned = mix([part.select(range(len(part) - 1, -1, -1)) for part in parts], mixture, seed=1)
    assert {row["id"]: row["granularity"] for row in turned} == of_id


def _rows(granularity: int, *ids: str) -> Dataset:
    return Dataset.from_dict({"id": ids, "granularity": [granularity] * len(ids), "row": range(len(ids))})


def test_a_question_that_one_config_lacks_comes_from_the_other() -> None:
    mixed = mix([_rows(5, "a", "b"), _rows(1, "b", "c", "c")], Mixture.parse(FINE_AND_COARSE), seed=1)
    assert sorted(mixed["id"]) == ["a", "b", "c"]
    assert {row["id"]: row["granularity"] for row in mixed}["a"] == 5
    assert {row["id"]: row["row"] for row in mixed}["c"] == 1  # the first of two


def test_a_single_config_keeps_its_rows_also_those_that_it_has_twice() -> None:
    assert mix([_rows(5, "a", "a")], Mixture.parse("oracle-l5-arith"), seed=1)["id"][:] == ["a", "a"]


def test_coarse_to_fine_orders_the_granularities_and_shuffles_within() -> None:
    rows = concatenate_datasets([_rows(5, *"abcdefgh"), _rows(1, *"ijklmnop")])
    ordered = coarse_to_fine(rows, seed=3)
    assert ordered["granularity"][:] == [1] * 8 + [5] * 8
    assert sorted(ordered["id"][:8]) == list("ijklmnop") != ordered["id"][:8]


def test_coarse_to_fine_of_one_granularity_is_refused() -> None:
    with pytest.raises(CotDistillError, match="all rows are of one"):
        coarse_to_fine(_rows(5, "a", "b"), seed=3)

"""The mixture of configs: how it is parsed, printed and used as a folder name."""

import pytest

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.names import Mixture


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("gpt4o-fine-svamp", "gpt4o-l5-svamp"),
        ("0.2*oracle-fine-arith + 0.8*oracle-coarse-arith", "0.2*oracle-l5-arith+0.8*oracle-l1-arith"),
        (
            "0.33333333333*oracle-l1-arith+0.33333333333*oracle-l3-arith+0.33333333334*oracle-l5-arith",
            "0.33333333333*oracle-l1-arith+0.33333333333*oracle-l3-arith+0.33333333334*oracle-l5-arith",
        ),
        (".5*human-math+.5*gpt4o-l2-math", "0.5*human-math+0.5*gpt4o-l2-math"),
    ],
)
def test_a_mixture_parses_and_prints(text: str, canonical: str) -> None:
    mixture = Mixture.parse(text)
    assert (str(mixture), mixture.folder) == (canonical, canonical.replace("*", "-"))
    assert Mixture.parse(canonical) == mixture


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("0.2*gpt4o-l5-svamp+0.7*gpt4o-l1-svamp", "0.2, 0.7"),
        ("-0.5*gpt4o-l5-svamp+1.5*gpt4o-l1-svamp", "-0.5, 1.5"),
        ("gpt4o-l5-svamp+gpt4o-l1-svamp", "1, 1"),
        ("0.5*gpt4o-fine-svamp+0.5*gpt4o-l5-svamp", "twice"),
        ("0.5*gpt4o-l5-svamp+0.5*gpt4o-l5-gsm8k", "benchmarks"),
        ("half*gpt4o-l5-svamp+0.5*gpt4o-l1-svamp", "half"),
        ("0.2*gpt4o-fin-svamp+0.8*gpt4o-l1-svamp", "'fin': use `fine`"),
    ],
)
def test_an_invalid_mixture_is_rejected(text: str, data: str) -> None:
    with pytest.raises(CotDistillError, match=data):
        Mixture.parse(text)

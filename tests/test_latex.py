"""LaTeX answers are found, tidied and compared; nothing they say can hold the judge up."""

import time

import pytest

from cot_distill_datasets import latex


@pytest.mark.parametrize(
    ("dressed", "bare"),
    [
        (r"$\dfrac12$.", r"\frac{1}{2}"), ("1/2", r"\frac{1}{2}"), (r"\left( 3, 4 \right)", "( 3, 4 )"),
        ("90 units", "90"), (r"125\textnormal{ miles}", "125"), (r"105^\circ", "105"), ("10\\%", "10"),
        ("20√13", r"20\sqrt{13}"), ("⅖", r"\frac{2}{5}"), ("11,\u202f880", "11880"), (r"\text{Tuesday}", "Tuesday"),
        (r"1,\!296,\!540", "1296540"), ("", ""),
    ],
)  # fmt: skip
def test_an_answer_is_tidied(dressed: str, bare: str) -> None:
    assert latex.tidy(dressed) == bare


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\frac12", "0.5"), (r"x^2+5x+4", "4 + 5x + x^2"), ("(-2, 23)", "(-2,23)"), (r"2\frac{1}{2}", "5/2"),
        (r"\frac{\sqrt{8}}{2}", r"\sqrt{2}"), ("y=2x", "2x"),
    ],
)  # fmt: skip
def test_the_same_answers_are_equivalent(a: str, b: str) -> None:
    assert latex.equivalent(a, b) and latex.equivalent(b, a)


@pytest.mark.parametrize(
    ("a", "b"), [("1, 23", "12, 3"), ("5", "7"), (r"\frac{1}{3}", "0.5"), ("x+1", "x-1"), ("", ""), ("E", r"\text{B}")]
)
def test_other_answers_are_not(a: str, b: str) -> None:
    assert not latex.equivalent(a, b)


@pytest.mark.parametrize(
    "hostile",
    ["3 " + "a" * 60 + "!", "10000000!", "9**9**9**9", r"\sum_{n=1}^{1000000000} n", "{" * 200, "9^{9^{9^9}}"],
)
def test_hostile_latex_is_not_equal_and_the_judge_goes_on(hostile: str) -> None:
    started = time.monotonic()
    assert not latex.equivalent(hostile, "3")
    assert time.monotonic() - started < 60  # no speed claim: it ends at all
    assert latex.equivalent(r"\frac{2}{4}", r"\frac{1}{2}")


def test_a_killed_judge_is_replaced() -> None:
    assert latex.equivalent("x+2", "2+x")
    latex._worker().kill()
    assert not latex.equivalent("x+3", "4+x")  # the one that asks a dead judge gets no verdict
    assert latex.equivalent("x+5", "5+x")


def test_the_last_box_is_found_with_its_braces() -> None:
    assert latex.last_boxed(r"\boxed{1} and $\boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"
    assert latex.last_boxed("no box") is None
    assert latex.last_boxed(r"\boxed{1") is None

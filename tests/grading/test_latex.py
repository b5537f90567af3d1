"""LaTeX answers are found, tidied and compared, and no input blocks the judge."""

import subprocess
import sys
import time

import pytest

from cot_distill_datasets.grading import formulas, latex, latex_judge, tidying


@pytest.mark.parametrize(
    ("answer", "tidied"),
    [
        (r"$\dfrac12$.", r"\frac{1}{2}"), ("1/2", r"\frac{1}{2}"), (r"\left( 3, 4 \right)", "( 3, 4 )"),
        ("90 units", "90"), (r"125\textnormal{ miles}", "125"), (r"105^\circ", "105"), ("10\\%", "10"),
        ("20√13", r"20\sqrt{13}"), ("⅖", r"\frac{2}{5}"), ("11,\u202f880", "11880"), (r"\text{Tuesday}", "Tuesday"),
        (r"1,\!296,\!540", "1296540"), ("", ""), ("1½", r"\frac{3}{2}"), ("x²", "x^{2}"), (r"60\circ", "60"),
        (r"105\(degree)", "105"), ("90 (degrees)", "90"),
        (r"40\text{ feet", "40"), (r"\frac{2}{4}", r"\frac{2}{4}"), ("9" * 601, ""),
    ],
)  # fmt: skip
def test_an_answer_is_tidied(answer: str, tidied: str) -> None:
    assert tidying.tidy(answer) == tidied


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"\frac12", "0.5"), (r"x^2+5x+4", "4 + 5x + x^2"), ("(-2, 23)", "(-2,23)"), (r"2\frac{1}{2}", "5/2"),
        (r"\frac{\sqrt{8}}{2}", r"\sqrt{2}"), ("y=2x", "2x"), ("1,2", "2,1"), (r"\{1,2\}", r"\{2,1\}"),
        ("1 1/2", "1.5"), ("3120_4", "3120_{4}"), ("11:2", "11 : 2"), (r"3 \times 10^5", "300000"), ("x−2", "x-2"),
        ("2s", "2.0s"), ("7 m", "7"), ("y=2s", "2s"), (r"5\text{ m}", "5"),
    ],
)  # fmt: skip
def test_equal_answers_are_equivalent(a: str, b: str) -> None:
    assert latex.equivalent(a, b) and latex.equivalent(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1, 23", "12, 3"), ("5", "7"), (r"\frac{1}{3}", "0.5"), ("x+1", "x-1"), ("", ""), ("E", r"\text{B}"),
        ("3120_4", "3120"), ("3120_4", "3120_5"), ("11:2", "22:4"), ("(1,2)", "(2,1)"), ("(1,2,3)", "(3,2,1)"),
        ("(A,B)", "(B,A)"), ("[1,2)", "(1,2]"), ("1 1/2", "11/2"), (r"2\pi", "2"), (r"\sqrt{x^2}", "x+1"),
        ("2", "2s"), ("7m", "7"), (r"\frac{1}{2}s", "0.5"), ("2s", "2m"), ("2x", "3x"),
    ],
)  # fmt: skip
def test_different_answers_are_not_equivalent(a: str, b: str) -> None:
    assert not latex.equivalent(a, b)


HOSTILE = [
    "3 " + "a" * 60 + "!", "10000000!", "9**9**9**9", r"\sum_{n=1}^{1000000000} n", "{" * 200, "9^{9^{9^9}}",
    "(x+y+z)^{20000}", "[" * 150, r"\int x^x e^{x^2} dx", "\ud800", "NaN", "0^{-1}", "{" * 10**6, "9" * 10**7,
    "__import__('os').abort()",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_latex_is_not_equivalent_and_the_judge_survives(hostile: str) -> None:
    started = time.monotonic()
    assert latex.verdict(hostile, "3") in ("other", "timeout")
    assert time.monotonic() - started < 60  # loose on purpose: it checks that the judge returns, not its speed
    assert latex.verdict(r"x+\frac{2}{4}", r"\frac{1}{2}+x") == "same"


def test_an_endless_evaluation_is_a_timeout() -> None:
    assert latex.verdict("9^{9^{9^9}}", "3") == "timeout"
    assert not latex.equivalent("9^{9^{9^9}}", "3")


@pytest.mark.slow
def test_a_pair_cannot_exceed_the_memory_limit() -> None:
    script = """
import re, resource
from pathlib import Path
from cot_distill_datasets.grading import answers, latex, latex_judge
for hostile in [r"\\lfloor 2^{3000000000}\\rfloor", "2^{2000000000}!", "{" * 10**7, "9" * 10**7]:
    latex.verdict(hostile, "3")
    answers.extract(hostile, "math", strict=False)
latex_judge.stop()
parent = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(parent // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    parent, worker = map(int, process.stdout.split())
    assert process.stderr == ""
    assert parent < 100 and worker < 250  # MB; the imports of the worker take 60


@pytest.mark.slow
def test_a_killed_judge_is_replaced() -> None:
    assert latex.equivalent("x+2", "2+x")
    latex_judge.worker().kill()
    latex_judge.worker().wait()
    assert latex.equivalent("x+3", "3+x")
    latex_judge.stop()
    assert latex_judge.worker.cache_info().currsize == 0
    assert latex.equivalent("x+5", "5+x")


def test_a_wall_clock_timeout_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = subprocess.Popen(["sh", "-c", "read pair; echo busy; cat"], stdin=-1, stdout=-1, text=True)
    with monkeypatch.context() as context:
        context.setattr(latex_judge, "worker", lambda: slow)
        assert latex.verdict("x+7", "7+x") == "timeout"
    slow.communicate()
    assert latex.verdict("x+7", "7+x") == "same"


def test_the_last_box_is_found_with_balanced_braces() -> None:
    assert formulas.last_boxed(r"\boxed{1} then $\boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"
    assert formulas.last_boxed(r"\boxed{1} and $\boxed{\frac{1}{2}}$.") == r"1, \frac{1}{2}"
    assert formulas.last_boxed(r"\boxed{1} or \boxed{2}") == "1 or 2"
    assert formulas.last_boxed("no box") is None
    assert formulas.last_boxed(r"\boxed{1") is None

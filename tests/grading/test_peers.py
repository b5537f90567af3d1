"""The kinds of cases that the test suites of peers caught: tables of our own cases, and the suites themselves.

The tables of `../shared/field` are not ours to publish; their tests are skipped without them.
"""

import csv
import re
from pathlib import Path

import pytest
from bench.field_score import FIELD, Case, read_cases
from support import parse_cells

from cot_distill_datasets.grading import latex_worker
from cot_distill_datasets.grading.answers import equivalent, extract
from cot_distill_datasets.sources.repairs import repair_gold
from cot_distill_datasets.sources.responses import read_response


# `docs/grader.md` states the policy of each class that is not graded as its suite does.
POLICY = {"numeric option labels (ARC 1-4)"}
MIN_RIGHT = 728  # of the 763 cases of `peers_half.tsv`

SAME = {
    "math": r"""
        \begin{pmatrix} 4 \\ -9 \end{pmatrix} | \begin{pmatrix}4\\-9\end{pmatrix}
        \begin{pmatrix} 4 \\ -9 \end{pmatrix} | \begin{bmatrix} 4 \\ -9 \end{bmatrix}
        \begin{pmatrix} 1/2 & 0 \end{pmatrix} | \left[\begin{array}{cc}\frac12 & 0\end{array}\right]
        23,\! 456,\! 789 | 23456789
        \$31.50 | 31.50
        7\, | 7
        60\degree | 60
        x ∈ [1,4] | x \in [1,4]
        (-∞, 6) | (-\infty, 6)
        –8 | -8
        x != 7 | x \neq 7
        x >= 7 | x \ge 7
        3*pi | 3\pi
        x**3 | x^3
        sqrt(7) - 2 | -2 + \sqrt{7}
        0.\overline{6} | \frac{2}{3}
        0.1\overline{6} | 1/6
        \sin(90^\circ - x) | \cos x
        \sqrt{1/k} | \frac{1}{\sqrt{k}}
        i^2 | -1
        (1+i)(2-i) | 3+i
        f(x) = 3x - 1 | y = 3x - 1
        3x - 6y = 9 | x = 2y + 3
        \binom{6}{2} = 15 | 15
        |CD| = 4 | 4
        5 = x | 5
        x = 4, x = -1 | -1, 4
        \pm 6 | 6, -6
        5, 5, 2 | 2, 5, 5
        \boxed{3} and \boxed{4} | 4, 3
        p = 3, q = 8 | (3, 8)
        S_1 : S_2 = 3:4 | 3:4
        -4 < x < 9 | (-4, 9)
        x \in [2, 5] | 2 \le x \le 5
        (7)(8) | 56
        3(5) | 15
        \text{north} | North
    """,
    "number": "9\\,200 | 9200\n 4 million | 4000000\n minus 6 | -6",
    "choice": "H | H\n (J) | J",
}
DIFFERENT = {
    "math": r"""
        \log_3(9) = 2 | \log_3(9) = 4
        \log_3(9) = 2 | \log_9(9) = 2
        2 + 2 = 5 | 2 + 2 = 4
        2 + 2 = 5 | 5
        x + z = 8 | 8
        x^2 + y^2 = 20 | 20
        T = 5 + 3e^{-t} | T = 6 + 3e^{-t}
        \frac{dy}{dx} = 2y | -\frac{dy}{dx} = 2y
        \text{tea} | \text{eat}
        \text{TTH} | \text{THT}
        Leon | Noel
        \frac{1}{3^{80}} | \frac{1}{3^{81}}
        \frac{1}{90!} | \frac{1}{91!}
        3, 3, 5 | 3, 5, 5
        4, 4 | 4
        8, 3 | 8
        20^\circ,160^\circ | 20160
        \sin 60^\circ | \sin 60
        x \le 4 | 4
        x != 4 | 4
        x < 4 | x \le 4
        3! = 6 | 3 \ne 6
        |x| | x
        \sqrt{x^2} | x
        (2, 9) | 9, 2
        3x | x^3
        \sin(x) = \frac{1}{3} | \cos(x) = \frac{1}{3}
    """,
    "number": "6 and 7 | 6\n between 6 and 9 | 6",
    "choice": "A large one | A\n B | J",
}
# Whole texts, read flexibly; the answer must be equivalent, ∅ is no answer.
READ = {
    "math": r"""
        The answer is $2x-7y=-30$. | 2x-7y=-30
        The answer is $x^2+y^2=20$. | x^2+y^2=20
        The answer is $12 + 9 = 21$. | 21
        The answer is $x = 6$ or $x = -1$. | -1, 6
        The answer is $6$ and $-1$. | -1, 6
        The answer is $\boxed{6}$ and $\boxed{-1}$. | -1, 6
        So $\boxed{6}$, $\boxed{-1}$. | -1, 6
        The answer is $\$31.50$. | 31.5
        The answer is a \le 5. | a \le 5
        The answer is $a + c$. | a + c
        The answer is x \neq 9. | x \neq 9
        The answer is 23,\! 456. | 23456
        The answer is approximately 2.5. | 2.5
        The answer is exactly 30 (rounded to the nearest ten). | 30
        The answer is 8, not 9. | 8
        The answer is not 8, it is 9. | 9
        The answer is $\text{neither an upper nor a lower bound}$. | \text{neither an upper nor a lower bound}
        The answer is $\begin{pmatrix} 2 \\ 5 \end{pmatrix}$. | \begin{pmatrix}2\\5\end{pmatrix}
        The answer is $A^{-1}=\begin{pmatrix} 2 & 0 \\ 0 & 5 \end{pmatrix}$. | \begin{pmatrix}2&0\\0&5\end{pmatrix}
        Here it is: $ \frac{5}{9} $ | \frac{5}{9}
        (-1, 8) | (-1, 8)
        <think>The answer is 3? No.</think> $\boxed{8}$ | 8
        **Final answer:** $7$ | 7
        #### \frac{2}{9} | \frac{2}{9}
        <answer>3x + 4</answer> | 3x+4
        so $m + n = 77$. | 77
    """,
    "number": r"""
        <think>The answer is 4.</think>⏎Final answer: 9 | 9
        <answer>27</answer> done in 4 steps | 27
        #### 27 cars in 3 rows | 27
        \boxed{27} which took 3 steps | 27
        **Final Answer: 27**⏎Note that 5 of them are red. | 27
        The answer is 26 and 27. | ∅
        The answer is approx. 27. | 27
        The answer is 5 thousand. | 5000
        The answer is minus 27. | -27
        The answer is 8​41. | 841
        The answer is 27⏎⏎Question: How many?⏎The answer is 5 | 27
        #### Step 2⏎He has 27. | 27
        Answer: he has more than 5 cars.⏎He has 27. | 27
    """,
    "choice": r"""
        The answer is A because plants need light. | A
        The answer is A not C. | A
        The answer is B because option A is wrong. | B
        The answer is C/D | ∅
        Answer: C, not D | C
        ANSWER: b | B
        Option H is correct | H
        **Answer:** J | J
        d | D
        C. it cannot be A or B | C
        Neither A nor C | ∅
        It could be A, C or D. | ∅
        A. one; B. two | ∅
        I think it is B | B
        **Answer: C**, since \boxed{E} was the mass. | C
    """,
    "boolean": r"""
        No, that is not true. | False
        It isn't true. | False
        It cannot be true that fish fly. | False
        The statement is not false. | True
        No. It is true that they swim, but they do not fly. | False
        no it is not | False
        yes and | True
        Yes and no. | ∅
        \boxed{yes} | True
        <answer>no</answer> | False
        The answer is not yes. | False
    """,
}


@pytest.mark.parametrize(("kind", "a", "b"), parse_cells(SAME))
def test_answers_of_one_value_are_equivalent_in_both_directions(kind: str, a: str, b: str) -> None:
    assert equivalent(a, b, kind) and equivalent(b, a, kind)


@pytest.mark.parametrize(("kind", "a", "b"), parse_cells(DIFFERENT))
def test_answers_of_different_values_are_never_equivalent(kind: str, a: str, b: str) -> None:
    assert not equivalent(a, b, kind) and not equivalent(b, a, kind)


@pytest.mark.parametrize(("kind", "text", "answer"), parse_cells(READ))
def test_a_conclusion_is_read_in_any_layout(kind: str, text: str, answer: str) -> None:
    read = extract(text, kind, strict=False)
    assert read == answer == "" or (read and equivalent(read, answer, kind)) or (read is None and not answer), read


def _table(name: str) -> Path:
    if not (FIELD / name).is_file():
        pytest.skip(f"needs {FIELD / name}")
    return FIELD / name


def test_every_case_that_peers_caught_is_right_or_named_as_a_policy() -> None:
    misses = [case for case in read_cases(_table("peers.tsv")) if case.verdict != case.expected]
    assert not [case for case in misses if case.group not in POLICY]
    assert not [case for case in misses if not case.expected]  # no policy makes different answers equal


def test_the_suites_of_peers_do_not_get_worse() -> None:
    cases = read_cases(_table("peers_half.tsv"))
    assert sum(case.verdict == case.expected for case in cases) >= MIN_RIGHT


def _unescape(cell: str) -> str:
    return re.sub(r"\\(\\|n|u200b)", lambda escape: {"\\": "\\", "n": "\n"}.get(escape[1], "\u200b"), cell)


def test_every_reported_case_is_right() -> None:
    wrong = []
    with _table("cases.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            call, text, want = row["call"], _unescape(row["input"]), re.sub(r", (?=\d{3})", ",", row["want"])
            if match := re.match(r"extract\(kind=(\w+), strict=(\w+)\)", call):
                answer = extract(text, match[1], strict=match[2] == "True")
                is_right = answer is None if want == "None" else equivalent(answer or "", want, match[1])
            elif call.startswith("equivalent"):
                verdicts = {equivalent(a, b, "math") for a, b in _both_orders(text, _unescape(row["second input"]))}
                is_right = len(verdicts) == 1 and want in (str(*verdicts), "both the same")
            else:
                continue
            wrong += [] if is_right else [(row["row"], text)]
    assert not wrong


def _both_orders(a: str, b: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (a, b), (b, a)


@pytest.mark.parametrize(
    ("text", "gold", "kind", "choices", "result"),
    [
        ("13 + 8 = 21.\n#### 21", "20", "number", (), ("13 + 8 = 21.", "21", ["missing_closing", "other_layout"])),
        ("13 + 8 = 21.\n<answer>21</answer>", "20", "number", (),
         ("13 + 8 = 21.", "21", ["missing_closing", "other_layout"])),
        ("Dogs bark.\n**Answer:** No", "True", "boolean", (),
         ("Dogs bark.", "False", ["missing_closing", "other_layout"])),
        ("It lies there.\nAnswer: (B) river", "A", "choice", (),
         ("It lies there.", "B", ["missing_closing", "other_layout"])),
        ("So it goes. Therefore, 31 boxes remain.", "30", "number", (),
         ("So it goes. Therefore, 31 boxes remain.", "31", ["missing_closing"])),
        ("13 + 8 = 21.\n#### 21\nThe answer is: 21", "21", "number", (), ("13 + 8 = 21.", "21", ["doubled_closing"])),
        ("It swims. The answer is river", "A", "choice", ("den", "river"), ("It swims.", "B", [])),
        ("It swims. The answer is river", "A", "choice", (), ("It swims.", None, ["missing_closing"])),
        ("<think>Is the answer is 20? No.</think>\nIt is \\boxed{21}.", "21", "number", (),
         ("<think>Is the answer is 20? No.\nIt is \\boxed{21}.", "21", ["missing_closing", "thinking_tag"])),
        ("It is \\(\\frac{1}\\)", "2", "math", (), ("It is \\(\\frac{1}\\)", None, ["missing_closing", "cut_text"])),
        ("It costs $4 and so on", "4", "number", (), ("It costs $4 and so on", None, ["missing_closing"])),
    ],
)  # fmt: skip
def test_a_teachers_conclusion_is_read_in_any_layout(
    text: str, gold: str, kind: str, choices: tuple[str, ...], result: tuple[str, str | None, list[str]]
) -> None:
    assert read_response(text, gold, kind, choices) == result


def test_a_gold_of_several_boxes_is_completed_unless_they_are_alternatives() -> None:
    both = repair_gold("(1, 9)", "math", r"at $\boxed{(1, 9)}$ and $\boxed{(2, 8)}$.")
    assert both == ("(1, 9), (2, 8)", ["cut_gold"])
    assert repair_gold("b+2", "math", r"is $\boxed{b+2}$, or $\boxed{2+b}$.") == ("b+2", [])


def test_math_verify_must_agree_in_both_directions() -> None:
    listed, point = latex_worker._parse("2,1"), latex_worker._parse("(1,2)")
    assert latex_worker.verify(listed, point, timeout_seconds=None)
    assert not latex_worker._is_same("2,1", "(1,2)") and not latex_worker._is_same("(1,2)", "2,1")


def test_hostile_lists_are_compared_in_bounded_time() -> None:
    for hostile in ("x+1," * 100, "(" * 300, r"\pm" * 200, "=" * 300, ";" * 300, r"\boxed{" * 80, "x or " * 100):
        assert not equivalent(hostile, "3", "math") and not equivalent("x+2", hostile, "math")


def test_the_cases_of_peers_are_read() -> None:
    assert Case("suite", "number", "text", "None", "no number", True).verdict

"""Every rationale is correct by construction. These tests parse its steps and check every equation."""

import ast
import operator
import re

import pytest

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.names import FORMATS, GRANULARITIES
from cot_distill_datasets.schema import question_id
from cot_distill_datasets.sources import arith


_EQUATION = re.compile(r"((?:\d+|\()[\d +*()-]*?) = (\d+)")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def _value(expression: str) -> int:
    def walk(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return int(node.value)
        assert isinstance(node, ast.BinOp)
        return _OPERATORS[type(node.op)](walk(node.left), walk(node.right))

    return walk(ast.parse(expression, mode="eval").body)


def _check_equations(text: str) -> list[tuple[str, int]]:
    equations = [(left.strip(), int(right)) for left, right in _EQUATION.findall(text)]
    for left, right in equations:
        assert _value(left) == right, f"{left} = {right} in {text!r}"
    assert len(equations) == len(re.findall(r"= \d", text)), f"an equation was not parsed in {text!r}"
    return equations


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("format_", FORMATS)
def test_every_equation_of_every_rationale_holds(granularity: int, format_: str) -> None:
    train, _ = arith.splits()
    for problem in train[:1000] + arith.generate(200, seed=1, steps=4, max_number=500):
        text = re.sub(r"x\d = (x0|x\d)[^.:]*[.:] ?|Let x0 = \d+\.", "", arith.rationale(problem, granularity, format_))
        equations = _check_equations(text)
        assert re.search(rf"\b{problem.answer}\.$", text)
        steps = [(f"{v} {s.operator} {s.n}", s.apply(v)) for v, s in zip(problem.values, problem.steps)]
        if granularity == 1:
            assert equations == []
        elif granularity == 2:
            assert [right for _, right in equations] == [int(problem.answer)]
        elif granularity in (3, 4, 5):
            assert equations == steps
        else:
            assert [equation for equation in equations if equation in steps][-1] == steps[-1]


def test_each_level_of_a_problem_has_its_own_form() -> None:
    problem = arith.Problem("Mia", "pens", 28, (arith.Step("+", 9, 0), arith.Step("*", 3, 1)))
    assert arith.rationale(problem, 1) == "That makes 111."
    assert arith.rationale(problem, 2) == "(28 + 9) * 3 = 111."
    assert arith.rationale(problem, 3) == "28 + 9 = 37. 37 * 3 = 111."
    assert arith.rationale(problem, 4).startswith("Mia has 28 pens and buys 9 more: 28 + 9 = 37.")
    assert "what comes in is added, so add 9: 28 + 9 = 37." in arith.rationale(problem, 5)
    assert "ones: 8 + 9 = 17, write 7, carry 1; tens: 2 + 0 + 1 = 3. So 28 + 9 = 37." in arith.rationale(problem, 6)
    assert "ones: 7 * 3 = 21, write 1, carry 2; tens: 3 * 3 + 2 = 11, write 1, carry 1; hundreds: 0 * 3 + 1 = 1." in (
        arith.rationale(problem, 6)
    )


def test_subtraction_borrows_digit_by_digit() -> None:
    problem = arith.Problem("Mia", "pens", 503, (arith.Step("-", 78, 0),))
    columns = "ones: borrow 10, 13 - 8 = 5; tens: borrow 10, 10 - 1 - 7 = 2; hundreds: 5 - 1 - 0 = 4."
    assert columns in arith.rationale(problem, 6)


def test_each_level_is_longer_than_the_previous_one() -> None:
    train, _ = arith.splits()
    words = [sum(len(arith.rationale(p, level).split()) for p in train[:200]) for level in GRANULARITIES]
    assert words == sorted(set(words))


def test_train_and_test_share_no_arithmetic_and_no_question() -> None:
    train, test = arith.splits()
    assert (len(train), len(test)) == (5000, 500)
    assert not {p.arithmetic for p in train} & {p.arithmetic for p in test}
    assert not {question_id("arith", p.question, []) for p in train} & {
        question_id("arith", p.question, []) for p in test
    }


def test_generate_respects_steps_and_max_number() -> None:
    problems = arith.generate(50, seed=3, steps=5, max_number=99)
    assert {len(problem.steps) for problem in problems} == {5}
    assert max(step.n for problem in problems for step in problem.steps) <= 99
    assert min(value for problem in problems for value in problem.values) >= 0
    assert problems == arith.generate(60, seed=3, steps=5, max_number=99)[:50]


def test_too_few_different_problems_raise_an_error() -> None:
    with pytest.raises(CotDistillError, match=r"500 .*`steps` or `max_number`"):
        arith.generate(500, steps=1, max_number=5)

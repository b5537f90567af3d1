"""The embedded benchmark `arith`: seeded word problems, and `oracle`, their exact teacher at every granularity.

>>> problem = Problem("Mia", "pens", 28, (Step("+", 9, 0), Step("*", 3, 1)))
>>> problem.question
'Mia has 28 pens. Mia buys 9 more, then ends up with 3 times as many. How many pens does Mia have?'
>>> rationale(problem, granularity=3)
'28 + 9 = 37. 37 * 3 = 111.'

A teacher that is exact by construction shows what granularity alone does: no errors, no style, one content.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .benchmarks import EvalItem
from .taxonomy import DEFAULT_FORMAT, CotDistillError


TRAIN_SIZE, TEST_SIZE = 5000, 500
SEED = 20250218  # of the release; any other gives other questions

_NAMES = ("Ada", "Ben", "Eva", "Leo", "Mia", "Noa", "Sam", "Zoe")
_ITEMS = ("books", "cards", "coins", "eggs", "pens", "shells", "stamps", "stones")
_EVENTS = {
    "+": ("buys {n} more", "finds {n} more", "is given {n} more"),
    "-": ("gives away {n}", "loses {n}", "sells {n}"),
    "*": ("gets {n} times as many", "ends up with {n} times as many", "comes to own {n} times as many"),
}
_OPERATION = {"+": "add {n}", "-": "take away {n}", "*": "multiply by {n}"}
_REASON = {
    "+": "{n} {items} come in, and what comes in is added",
    "-": "{n} {items} go out, and what goes out is taken away",
    "*": "each of the {items} becomes {n}, and equal groups are multiplied",
}
_PLACES = ("ones", "tens", "hundreds", "thousands", "ten thousands")


@dataclass(frozen=True)
class Step:
    """One event of a problem: `operator` is `+`, `-` or `*`, `n` its operand, `wording` which phrase tells it."""

    operator: str
    n: int
    wording: int

    def apply(self, value: int) -> int:
        """Return what `value` becomes."""
        return {"+": value + self.n, "-": value - self.n, "*": value * self.n}[self.operator]


@dataclass(frozen=True)
class Problem:
    """A word problem: somebody has `start` things, and `steps` happen to them, one after the other."""

    name: str
    items: str
    start: int
    steps: tuple[Step, ...]

    @property
    def values(self) -> list[int]:
        """The running totals, from `start` to the answer."""
        values = [self.start]
        for step in self.steps:
            values.append(step.apply(values[-1]))
        return values

    @property
    def answer(self) -> str:
        """The gold answer."""
        return str(self.values[-1])

    @property
    def question(self) -> str:
        """The problem in words."""
        events = ", then ".join(self.event(step) for step in self.steps)
        return f"{self.name} has {self.start} {self.items}. {self.name} {events}. {self.asked}"

    @property
    def asked(self) -> str:
        """The last sentence of the question."""
        return f"How many {self.items} does {self.name} have?"

    def event(self, step: Step) -> str:
        """Return what happens in `step`, as a clause whose subject is `name`."""
        return _EVENTS[step.operator][step.wording].format(n=step.n)

    @property
    def arithmetic(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """What is computed, whatever the words: train and test share none of these."""
        return self.start, tuple((step.operator, step.n) for step in self.steps)


def generate(count: int, *, seed: int = SEED, steps: int = 2, max_number: int = 15) -> list[Problem]:
    """Return `count` problems that differ in their arithmetic: `steps` events each, no operand above `max_number`.

    The first `n` problems of a longer list are the list of `n`. Running totals are never negative.

    Raises:
        CotDistillError: there are not that many different problems of this size.
    """
    rng = random.Random(seed)
    found: dict[object, Problem] = {}
    # Near the end of a small space almost every draw is a repetition: give up when it is as good as used up.
    for _ in range(100 * count):
        if len(found) == count:
            break
        problem = _draw(rng, steps, max_number)
        found.setdefault(problem.arithmetic, problem)
    if len(found) < count:
        raise CotDistillError(
            f"There are not {count} different problems of {steps} steps with numbers up to {max_number} "
            f"(found {len(found)}): raise `steps` or `max_number`."
        )
    return list(found.values())


def _draw(rng: random.Random, steps: int, max_number: int) -> Problem:
    name, items = rng.choice(_NAMES), rng.choice(_ITEMS)
    start = value = rng.randint(2, max_number)
    drawn: list[Step] = []
    for _ in range(steps):
        # Only small totals grow, so that the largest total stays within a few times `max_number`.
        operator = rng.choice("+" + "-" * (value > 1) + "*" * (value <= max_number))
        top = {"+": max_number, "-": min(value - 1, max_number), "*": 3}[operator]
        drawn.append(Step(operator, rng.randint(2 if operator == "*" else 1, top), rng.randrange(3)))
        value = drawn[-1].apply(value)
    return Problem(name, items, start, tuple(drawn))


def splits() -> tuple[list[Problem], list[Problem]]:
    """Return the release's 5,000 training and 500 test problems; no arithmetic occurs in both."""
    problems = generate(TRAIN_SIZE + TEST_SIZE)
    return problems[TEST_SIZE:], problems[:TEST_SIZE]


def eval_items() -> list[EvalItem]:
    """Return the test split, as the evaluation reads it."""
    _, test = splits()
    return [
        EvalItem(problem.question, [], problem.answer, f"arith/test#{index}") for index, problem in enumerate(test)
    ]


def rationale(problem: Problem, granularity: int, format: str = DEFAULT_FORMAT) -> str:
    """Return the oracle's solution at a granularity (1 to 6) and in a format, without the closing sentence."""
    lines = list(_solution(problem, granularity, symbolic=format == "symbolic"))
    if format == "l2m":
        return " ".join(f"{subquestion} {text}" for subquestion, text in lines)
    solution = " ".join(text for _, text in lines)
    if format == "rar":
        return f"In other words: {_rephrased(problem)} {solution}"
    if format == "symbolic":
        return f"Let x0 = {problem.start}. {solution}"
    return solution


def _solution(problem: Problem, granularity: int, *, symbolic: bool) -> Iterator[tuple[str, str]]:
    """Yield (sub-question, sentence) pairs: one pair for the two tersest levels, one a step for the others."""
    if granularity == 1:
        yield problem.asked, _named(problem, f"That makes {problem.answer}.", symbolic)
    elif granularity == 2:
        yield problem.asked, _named(problem, f"{_expression(problem)} = {problem.answer}.", symbolic)
    else:
        for index, (step, value) in enumerate(zip(problem.steps, problem.values), start=1):
            equation = f"{value} {step.operator} {step.n} = {step.apply(value)}"
            if symbolic:
                equation = f"x{index} = x{index - 1} {step.operator} {step.n}: {equation}"
            yield f"How many {problem.items} after step {index}?", _step(problem, index, equation, granularity)


def _named(problem: Problem, sentence: str, symbolic: bool) -> str:
    return f"x{len(problem.steps)} = {_expression(problem, 'x0')}. {sentence}" if symbolic else sentence


def _step(problem: Problem, index: int, equation: str, granularity: int) -> str:
    step, value = problem.steps[index - 1], problem.values[index - 1]
    if granularity == 3:
        return f"{equation}."
    event = problem.event(step)
    if granularity == 4:
        return f"{problem.name} has {value} {problem.items} and {event}: {equation}."
    reason = _REASON[step.operator].format(n=step.n, items=problem.items)
    operation = _OPERATION[step.operator].format(n=step.n)
    opening = f"Step {index}: {problem.name} has {value} {problem.items} and {event}. Here {reason}, so {operation}"
    if granularity == 5:
        return f"{opening}: {equation}."
    return f"{opening}. {_digit_by_digit(value, step)} So {equation}."


def _expression(problem: Problem, start: str | None = None) -> str:
    """Return the whole problem as one expression, with brackets only where a product follows a sum."""
    expression, is_sum = start or str(problem.start), False
    for step in problem.steps:
        if step.operator == "*" and is_sum:
            expression = f"({expression})"
        expression, is_sum = f"{expression} {step.operator} {step.n}", step.operator != "*"
    return expression


def _rephrased(problem: Problem) -> str:
    told = ", then ".join(_OPERATION[step.operator].format(n=step.n) for step in problem.steps)
    return f"start from {problem.start} {problem.items}, {told}, and say how many {problem.items} there are."


def _digit_by_digit(value: int, step: Step) -> str:
    """Write out the column method: every digit, carry and borrow, from the ones upwards."""
    columns: list[str] = []
    carry = 0
    left, right = value, step.n
    while left or (right and step.operator != "*") or carry:
        digit, other = left % 10, step.n if step.operator == "*" else right % 10
        place = _PLACES[len(columns)]
        if step.operator == "-":
            column, carry = _borrowed_column(digit, other, carry)
        else:
            column, carry = _carried_column(digit, step.operator, other, carry)
        columns.append(f"{place}: {column}")
        left, right = left // 10, right // 10
    return f"{'; '.join(columns)}."


def _carried_column(digit: int, operator: str, other: int, carry: int) -> tuple[str, int]:
    total = (digit * other if operator == "*" else digit + other) + carry
    carried = f" + {carry}" if carry else ""
    write = f", write {total % 10}, carry {total // 10}" if total > 9 else ""
    return f"{digit} {operator} {other}{carried} = {total}{write}", total // 10


def _borrowed_column(digit: int, other: int, borrow: int) -> tuple[str, int]:
    borrows = digit - borrow < other
    top = digit + 10 * borrows
    taken = f" - {borrow}" if borrow else ""
    lent = "borrow 10, " if borrows else ""
    return f"{lent}{top}{taken} - {other} = {top - borrow - other}", int(borrows)

"""The embedded benchmark `arith`: seeded word problems, and their exact teacher `oracle` at every granularity.

>>> problem = Problem("Mia", "pens", 28, (Step("+", 9, 0), Step("*", 3, 1)))
>>> problem.question
'Mia has 28 pens. Mia buys 9 more, then ends up with 3 times as many. How many pens does Mia have?'
>>> rationale(problem, granularity=3)
'28 + 9 = 37. 37 * 3 = 111.'

The teacher is exact by construction, so its levels differ in granularity only, not in errors, style or content.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from ..benchmarks import EvalItem
from ..errors import CotDistillError
from ..names import DEFAULT_FORMAT, FORMATS, GRANULARITIES, ConfigName
from ..schema import ConfigRows, Golds, Source, cot_row


TRAIN_SIZE, TEST_SIZE = 5000, 500
SEED = 20250218  # of the release; each seed generates different questions
FORMAT_GRANULARITIES = (3, 5)  # at which the paper compares formats (section 4)

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
    """One event of a problem: its `operator` (`+`, `-` or `*`), its operand `n`, and the index of its phrase."""

    operator: str
    n: int
    wording: int

    def apply(self, value: int) -> int:
        """Return the new value."""
        return {"+": value + self.n, "-": value - self.n, "*": value * self.n}[self.operator]


@dataclass(frozen=True)
class Problem:
    """A word problem: a person has `start` items, and each step changes their number."""

    name: str
    items: str
    start: int
    steps: tuple[Step, ...]

    @property
    def values(self) -> list[int]:
        """The running totals, from `start` to the answer."""
        return list(accumulate(self.steps, lambda value, step: step.apply(value), initial=self.start))

    @property
    def answer(self) -> str:
        """The gold answer."""
        return str(self.values[-1])

    @property
    def question(self) -> str:
        """The problem in words."""
        events = ", then ".join(self.event(step) for step in self.steps)
        return f"{self.name} has {self.start} {self.items}. {self.name} {events}. {self.final_question}"

    @property
    def final_question(self) -> str:
        """The last sentence of the problem."""
        return f"How many {self.items} does {self.name} have?"

    def event(self, step: Step) -> str:
        """Return the clause for `step`, whose subject is `name`."""
        return _EVENTS[step.operator][step.wording].format(n=step.n)

    @property
    def arithmetic(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """The computation without its words. No computation is in both the training and the test split."""
        return self.start, tuple((step.operator, step.n) for step in self.steps)


def generate(count: int, *, seed: int = SEED, steps: int = 2, max_number: int = 15) -> list[Problem]:
    """Return `count` problems with different arithmetic: `steps` events each, no operand above `max_number`.

    A shorter list is a prefix of a longer one. Running totals are never negative. Raises CotDistillError if fewer
    different problems of this size exist.
    """
    rng = random.Random(seed)
    problems: dict[object, Problem] = {}
    # If few problems of this size exist, almost every draw is a duplicate in the end, so the draws are limited.
    for _ in range(100 * count):
        if len(problems) == count:
            break
        problem = _draw(rng, steps, max_number)
        problems.setdefault(problem.arithmetic, problem)
    if len(problems) < count:
        raise CotDistillError(
            f"Cannot generate {count} different problems of {steps} steps with numbers up to {max_number}, only "
            f"{len(problems)}: raise `steps` or `max_number`."
        )
    return list(problems.values())


def _draw(rng: random.Random, steps: int, max_number: int) -> Problem:
    name, items = rng.choice(_NAMES), rng.choice(_ITEMS)
    start = value = rng.randint(2, max_number)
    sequence: list[Step] = []
    for _ in range(steps):
        # Only small totals are multiplied, so the largest total is a few times `max_number`.
        operator = rng.choice("+" + "-" * (value > 1) + "*" * (value <= max_number))
        top = {"+": max_number, "-": min(value - 1, max_number), "*": 3}[operator]
        sequence.append(Step(operator, rng.randint(2 if operator == "*" else 1, top), rng.randrange(3)))
        value = sequence[-1].apply(value)
    return Problem(name, items, start, tuple(sequence))


def splits() -> tuple[list[Problem], list[Problem]]:
    """Return the release's 5,000 training and 500 test problems, which share no arithmetic."""
    problems = generate(TRAIN_SIZE + TEST_SIZE)
    return problems[TEST_SIZE:], problems[:TEST_SIZE]


def eval_items(count: int | None = None) -> list[EvalItem]:
    """Return the test split, or `count` questions; additional ones share no arithmetic with it or the training."""
    count = count or TEST_SIZE
    problems = generate(max(count, TEST_SIZE) + TRAIN_SIZE)
    test = [*problems[:TEST_SIZE], *problems[TEST_SIZE + TRAIN_SIZE :]][:count]
    return [EvalItem(p.question, [], p.answer, f"arith/test#{index}") for index, p in enumerate(test)]


def source() -> Source:
    """Return the source of `arith`: answers only, six levels of plain CoT, and the other formats at two levels."""
    problems, _ = splits()
    configs = [ConfigName("answer", 0, DEFAULT_FORMAT, "arith")]
    for format_ in FORMATS:
        granularities = GRANULARITIES if format_ == DEFAULT_FORMAT else FORMAT_GRANULARITIES
        configs += [ConfigName("oracle", granularity, format_, "arith") for granularity in granularities]
    return Source({config: partial(_read, config, problems) for config in configs})


def _read(config: ConfigName, problems: list[Problem], _: Golds) -> ConfigRows:
    rows = []
    for index, problem in enumerate(problems):
        gold, place = problem.answer, f"arith/train#{index}"
        text = rationale(problem, config.granularity, config.format) if config.granularity else None
        rows.append(cot_row(config, problem.question, [], gold, rationale=text, teacher_answer=gold, source=place))
    return ConfigRows([row for row in rows if row is not None], len(problems), {})


def rationale(problem: Problem, granularity: int, format: str = DEFAULT_FORMAT) -> str:
    """Return the oracle's solution at a granularity (1 to 6) in a format, without the closing sentence."""
    lines = list(_solution(problem, granularity, symbolic=format == "symbolic"))
    if format == "l2m":
        return " ".join(f"{subquestion} {text}" for subquestion, text in lines)
    solution = " ".join(text for _, text in lines)
    if format == "rar":
        operations = ", then ".join(_OPERATION[step.operator].format(n=step.n) for step in problem.steps)
        start = f"start from {problem.start} {problem.items}"
        return f"In other words: {start}, {operations}, and say how many {problem.items} there are. {solution}"
    if format == "symbolic":
        return f"Let x0 = {problem.start}. {solution}"
    return solution


def _solution(problem: Problem, granularity: int, *, symbolic: bool) -> Iterator[tuple[str, str]]:
    """Yield (sub-question, sentence) pairs: one pair at levels 1 and 2, one pair per step at the others."""
    if granularity <= 2:
        subject = "That makes" if granularity == 1 else f"{_expression(problem)} ="
        variable = f"x{len(problem.steps)} = {_expression(problem, 'x0')}. " if symbolic else ""
        yield problem.final_question, f"{variable}{subject} {problem.answer}."
    else:
        for index, (step, value) in enumerate(zip(problem.steps, problem.values), start=1):
            equation = f"{value} {step.operator} {step.n} = {step.apply(value)}"
            if symbolic:
                equation = f"x{index} = x{index - 1} {step.operator} {step.n}: {equation}"
            yield f"How many {problem.items} after step {index}?", _step(problem, index, equation, granularity)


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
    """Return the problem as one expression, with parentheses only around a sum that is multiplied."""
    expression, is_sum = start or str(problem.start), False
    for step in problem.steps:
        if step.operator == "*" and is_sum:
            expression = f"({expression})"
        expression, is_sum = f"{expression} {step.operator} {step.n}", step.operator != "*"
    return expression


def _digit_by_digit(value: int, step: Step) -> str:
    """Return column arithmetic: each digit, carry and borrow, from the ones to the highest place."""
    columns: list[str] = []
    left, right, carry = value, step.n, 0
    while left or (right and step.operator != "*") or carry:
        digit, other = left % 10, step.n if step.operator == "*" else right % 10
        if step.operator == "-":
            column, carry = _borrowed_column(digit, other, carry)
        else:
            column, carry = _carried_column(digit, step.operator, other, carry)
        columns.append(f"{_PLACES[len(columns)]}: {column}")
        left, right = left // 10, right // 10
    return f"{'; '.join(columns)}."


def _carried_column(digit: int, operator: str, other: int, carry: int) -> tuple[str, int]:
    total = (digit * other if operator == "*" else digit + other) + carry
    carry_term = f" + {carry}" if carry else ""
    write = f", write {total % 10}, carry {total // 10}" if total > 9 else ""
    return f"{digit} {operator} {other}{carry_term} = {total}{write}", total // 10


def _borrowed_column(digit: int, other: int, borrow: int) -> tuple[str, int]:
    borrows = digit - borrow < other
    top = digit + 10 * borrows
    borrow_term = f" - {borrow}" if borrow else ""
    prefix = "borrow 10, " if borrows else ""
    return f"{prefix}{top}{borrow_term} - {other} = {top - borrow - other}", int(borrows)

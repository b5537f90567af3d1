"""The sections of `docs/grader.md` about policies and about the test suites of other graders."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections import Counter

from extractors import TARGETS, TIMEOUT
from field_score import FIELD, Case, read_cases
from math_verify import parse, verify


POLICIES = r"""## Policies

What a verdict depends on, where other graders decide otherwise. `equivalent(a, b)` always equals `equivalent(b, a)`.

| question | policy |
| --- | --- |
| decimal against exact value | `0.5` is `1/2`, but `0.3333333` is not `1/3`, and `1.41` is not `1.414`. An irrational value equals its decimal to six places: `\sqrt{2}` is `1.414214`, not `1.41` |
| exact value with its decimal | in a conclusion, `\frac{24}{\pi} \approx 7.64` is `\frac{24}{\pi}`, and `x \approx 11` is 11; in the last formula of a text without a conclusion, the decimal counts |
| percent | the sign is dropped: `33.5%` is `33.5`, not `0.335` |
| units, currency, degrees | dropped behind a number: `10 cm` is `10`. In `\sin 30^\circ` the degree counts |
| unreduced fractions | equal: `2/4` is `1/2`. Ratios are compared literally: `22:4` is not `11:2` |
| order of a list | does not matter, and a member that occurs twice must occur twice in both. Points, tuples and intervals keep their order. The coordinates of a point may be listed without parentheses |
| alternatives | "4, or 8/2" is 4 if all alternatives are equal to it |
| comma | separates thousands in groups of three digits, else members of a list: `1,234` is 1234, `12,34` is two numbers. A decimal comma (`2,74`) is not read |
| equations | `x = 5`, `f(x) = 5` and a true equation of constants (`1 + 1 = 2`) have the value of the last side; a chain (`a + b = 2 + 3 = 5`) has it, too. `x + y = 5` is itself the answer, except at the end of a text without a closing sentence, where its number counts |
| variables | stand for real numbers: `\sqrt{1/n}` is `\frac{1}{\sqrt{n}}`, and `\sqrt{x^2}` is not `x`. `i` is the imaginary unit |
| inequalities | equal to their set of solutions: `x < 3` is `(-\infty, 3)` |
| words | compared as words, without case: `\text{saw}` is not `\text{was}`. `xyz` and `abc` are products |
| times of day | compared literally: `20:34` is not `08:34 p.m.` |
| an expression left to work out | `3+2` is 5 for `math`; for `number`, "The answer is 84 - 52" has no answer |
| numbers in words, digits of other scripts | not read ("eighteen"); "3 million" and "minus 18" are |
| labels of options | letters A to J. A number (`Answer: 2`) is not a label: benchmarks with numeric labels get letters when they are imported |
| truth values | `true`, `yes`, `false`, `no`; not `correct` or `wrong`. A denied value is its opposite only where no closing sentence is required |
| closing sentence | "The answer is …" comes before a box or another layout, wherever that stands; "The best answer is" is not one. Behind `</think>`, only the text behind it counts |
| code | never evaluated: `(lambda: …)() or 0` is text that ends with 0 |

Of the cases that the suites of other graders caught in earlier versions (`peers.tsv`), one is a policy and not a defect:
`Answer: 2` for a question with numeric labels."""


def section() -> str:
    """Return the policies, and the side-by-side table if the tables of cases are present."""
    if not (FIELD / "peers_half.tsv").is_file():
        return POLICIES
    return f"{POLICIES}\n\n{_side_by_side()}"


def _side_by_side() -> str:
    tables = {name: read_cases(FIELD / name) for name in ("peers.tsv", "peers_half.tsv")}
    rows = [(name, kind, [c for c in cases if c.kind == kind]) for name, cases in tables.items() for kind in _KINDS]
    lines = [f"| `{name}` | {kind} | {len(cases)} | {_scores(cases, kind)} |" for name, kind, cases in rows if cases]
    head = "| table | kind | cases | ours | false positives | math-verify | false positives |"
    return f"""## Test suites of other graders

About half of the cases in 26 test suites (Math-Verify, lighteval, NeMo-Skills, prm800k, Qwen2.5-Math, SkyThought,
MARIO_EVAL, inspect_ai, evalscope, …), in `peers_half.tsv`, and the cases of all suites that an earlier version of our
grader got wrong, in `peers.tsv`, which favors math-verify. Every suite expects what its own grader says. A false
positive is a pair that a grader calls equal and the suite does not. math-verify reads no letters and no truth values.

{head}
| --- | --- | --: | --: | --: | --: | --: |
""" + "\n".join(lines)


_KINDS = ("math", "number", "choice", "boolean")


def _scores(cases: list[Case], kind: str) -> str:
    ours = Counter((case.verdict, case.expected) for case in cases)
    theirs = Counter((_math_verify(case), case.expected) for case in cases) if kind in ("math", "number") else None
    cells = [ours[True, True] + ours[False, False], ours[True, False]]
    others = [theirs[True, True] + theirs[False, False], theirs[True, False]] if theirs else ["–", "–"]
    return " | ".join(map(str, [*cells, *others]))


def _math_verify(case: Case) -> bool:
    gold, text = (f"${side}$" if _is_bare(side, case) else side for side in (case.gold, case.text))
    parsed = [parse(side, TARGETS, parsing_timeout=TIMEOUT) for side in (gold, text)]
    return bool(verify(*parsed, timeout_seconds=TIMEOUT))


def _is_bare(side: str, case: Case) -> bool:
    is_answer = case.mode == "pair" or side == case.gold
    return case.kind == "math" and is_answer and "$" not in side and "boxed" not in side

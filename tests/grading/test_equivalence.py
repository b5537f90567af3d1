"""Which answers are equivalent: tables of literal rows `a | b`, where ∅ is an empty string."""

import pytest
from support import parse_cells

from cot_distill_datasets.grading.answers import equivalent, normalize


SAME = {
    "number": r"""
        18 | 18
        1,000.0 | 1000
        1/2 | 0.50
        2/4 | 0.5
        ½ | 0.5
        1 1/2 | 1.5
        3\frac{1}{2} | 3.5
        \frac{3}{4} | 0.75
        1.2e3 | 1,200
        1.2 \times 10^3 | 1200
        3×10^5 | 300,000
        $7 | 7
        $18.00 | 18
        \$18 | 18
        18 dollars | 18
        18 cm² | 18
        50% | 50
        50\% | 50
        **18** | 18
        \boxed{18} | 18
        $18$ | 18
        \text{18} | 18
        −3 | -3
        -0 | 0
        007 | 7
        (18) | 18
    """,
    "choice": "B | b\n (B) | B\n Option B. | B\n B: 1/2 | B",
    "boolean": "yes | True\n No. | False\n **true** | True",
    "math": r"\frac12 | 0.5",
}  # fmt: skip

DIFFERENT = {
    "number": r"""
        18 | 1
        18 | 180
        3 | -3
        0.5 | 0.05
        1 1/2 | 11/2
        1/3 | 0.333
        18 and 19 | 18
        18 + 1 | 18
        18x | 180
        2\pi | 2
        x = 18 | 18
        x | x
        1/0 | 1/0
        NaN | NaN
        inf | inf
        ∅ | ∅
        ∅ | 0
        3,4 | 34
        9**9**9**9 | 9
    """,
    "choice": "B | C\n K | K\n ∅ | ∅\n A large one | A",
    "boolean": "yes | no\n maybe | maybe\n ∅ | ∅",
    "math": "∅ | ∅\n 5 | 7",
}  # fmt: skip


def test_the_tables_are_parsed_completely() -> None:
    assert [len(parse_cells(table)) for table in (SAME, DIFFERENT)] == [34, 28]


@pytest.mark.parametrize(("kind", "a", "b"), parse_cells(SAME))
def test_an_answer_is_equivalent_in_any_format(kind: str, a: str, b: str) -> None:
    assert equivalent(a, b, kind) and equivalent(b, a, kind)


@pytest.mark.parametrize(("kind", "a", "b"), parse_cells(DIFFERENT))
def test_different_and_invalid_answers_are_not_equivalent(kind: str, a: str, b: str) -> None:
    assert not equivalent(a, b, kind) and not equivalent(b, a, kind)


def test_a_million_digits_have_no_canonical_form() -> None:
    assert normalize("9" * 10**6, "number") is None

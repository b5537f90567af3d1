"""A teacher's text gives its rationale, its own conclusion, and what was wrong with its end."""

import pytest

from cot_distill_datasets.answers import Kind
from cot_distill_datasets.responses import read_response


@pytest.mark.parametrize(
    ("text", "gold", "kind", "read"),
    [
        ("2 + 3 = 5. The answer is 5", "5", "number", ("2 + 3 = 5.", "5", [])),
        ("2 + 3 = 5. The answer is 5.0", "5", "number", ("2 + 3 = 5.", "5", ["trailing_zero"])),
        ("2 + 3 = 5. So, the answer is 5. The answer is 5", "5", "number", ("2 + 3 = 5.", "5", ["doubled_closing"])),
        ("It is 412. The answer is 412. The answer is 322", "322", "number", ("It is 412.", "412", ["gold_appended"])),
        ("It is 412. The answer is 412", "322", "number", ("It is 412.", "412", [])),
        ("2 + 3 = 5.", "5", "number", ("2 + 3 = 5.", None, ["missing_closing"])),
        ("The answer is 5", "5", "number", ("", "5", [])),
        ("Leaves are green. The answer is Option C.", "C", "choice", ("Leaves are green.", "C", [])),
        ("It floats. The answer is NOT D", "D", "choice", ("It floats.", None, [])),
        ("He lived then. The answer is false.", "False", "boolean", ("He lived then.", "False", [])),
        (r"$P = \boxed{\frac12}$.", "0.5", "math", (r"$P = \boxed{\frac12}$.", r"\frac{1}{2}", ["missing_closing"])),
        (r"Halve it. The answer is $\frac{1}{2}$.", "0.5", "math", ("Halve it.", r"\frac{1}{2}", [])),
    ],
)  # fmt: skip
def test_a_response_is_read(text: str, gold: str, kind: Kind, read: tuple[str, str | None, list[str]]) -> None:
    assert read_response(text, gold, kind) == read

"""A teacher's text is split into its rationale and its own conclusion, with flags for the defects of its end."""

import pytest

from cot_distill_datasets.grading.answers import Kind
from cot_distill_datasets.grading.closings import strip_closing
from cot_distill_datasets.grading.conclusions import find_closing
from cot_distill_datasets.sources.responses import read_response


@pytest.mark.parametrize(
    ("text", "gold", "kind", "result"),
    [
        ("2 + 3 = 5. The answer is 5", "5", "number", ("2 + 3 = 5.", "5", [])),
        ("2 + 3 = 5. The answer is 5.0", "5", "number", ("2 + 3 = 5.", "5", ["trailing_zero"])),
        ("2 + 3 = 5, so the answer is 5.", "5", "number", ("2 + 3 = 5.", "5", [])),
        ("2 + 3 = 5. So, the answer is 5. The answer is 5", "5", "number", ("2 + 3 = 5.", "5", ["doubled_closing"])),
        ("It is 412. The answer is 412. The answer is 322", "322", "number", ("It is 412.", "412", ["gold_appended"])),
        ("It is 412. The answer is 412", "322", "number", ("It is 412.", "412", [])),
        ("2 + 3 = 5.", "5", "number", ("2 + 3 = 5.", "5", ["missing_closing"])),
        ("Add 2 and 3.", "5", "number", ("Add 2 and 3.", None, ["missing_closing"])),
        ("2 + 3. The answers is 5.", "5", "number", ("2 + 3. The answers is 5.", "5", ["missing_closing"])),
        ("The answer is 5", "5", "number", ("", "5", [])),
        ("It is. The answer is 4000 (the loss = 3)", "4000", "number", ("It is. 4000 (the loss = 3).", "4000", [])),
        ("The answer is **not a whole number**, 22.", "5", "number",
         ("The answer is **not a whole number**, 22.", None, ["missing_closing", "denied"])),
        ("Leaves are green. The answer is Option C.", "C", "choice", ("Leaves are green.", "C", [])),
        ("The answer is E 216° divided by 360° equals 0.6, therefore it is 60 percent", "E", "choice",
         ("216° divided by 360° equals 0.6, therefore it is 60 percent.", "E", [])),
        ("240 cm. Answer : D", "D", "choice", ("240 cm.", "D", ["missing_closing", "other_layout"])),
        ("x+2x+2 or Option C", "C", "choice", ("x+2x+2 or Option C", "C", ["missing_closing"])),
        ("It is 5. The answer is c", "C", "choice", ("It is 5.", "C", [])),
        ("Ice. The answer is NOT D", "D", "choice", ("Ice. The answer is NOT D", None, ["missing_closing", "denied"])),
        ("Olga has 12 fish, The answer is D", "D", "choice", ("Olga has 12 fish.", "D", [])),
        ("Water. The answer is H2O", "A", "choice", ("Water. The answer is H2O", None, ["missing_closing"])),
        ("It is odd. The answer is D. 1000", "D", "choice", ("It is odd.", "D", [])),
        ("Since 1986 is not 1989, the answer is False.", "False", "boolean", ("1986 is not 1989.", "False", [])),
        ("It was so. Given this context, the answer is False", "False", "boolean", ("It was so.", "False", [])),
        ("8 / 2 = The answer is 4", "4", "number", ("8 / 2 = 4.", "4", [])),
        ("It was 9. The answer is 360, but this is incorrect", "360", "number",
         ("It was 9. The answer is 360, but this is incorrect", None, ["missing_closing", "denied"])),
        ("So $m + n = 527$.", "67", "math", ("So $m + n = 527$.", "527", ["missing_closing"])),
        ("650", "650", "math", ("", "650", ["missing_closing"])),
        (r"1. Let \( \frac{1},", "4", "math", (r"1. Let \( \frac{1},", None, ["missing_closing", "cut_text"])),
        ("8C3 = 56. D", "D", "choice", ("8C3 = 56. D", "D", ["missing_closing"])),
        ("He lived then. The answer is false.", "False", "boolean", ("He lived then.", "False", [])),
        ("So the statement is therefore False.", "True", "boolean",
         ("So the statement is therefore False.", "False", ["missing_closing"])),
        ("It implies so. However, since the answer is True, it is. The answer is True", "True", "boolean",
         ("It implies so. However, since the answer is True, it is.", "True", [])),
        (r"$P = \boxed{\frac12}$.", "0.5", "math", (r"$P = \boxed{\frac12}$.", r"\frac{1}{2}", ["missing_closing"])),
        (r"Halve it. The answer is $\frac{1}{2}$.", "0.5", "math", ("Halve it.", r"\frac{1}{2}", [])),
        (r"Tempted to say the answer is 4. No: $\boxed{\frac12}$", "0.5", "math",
         (r"Tempted to say the answer is 4. No: $\boxed{\frac12}$", r"\frac{1}{2}", ["missing_closing"])),
        (r"The answer is $\sum_{k=0}^7 k$.", "28", "math", (r"$\sum_{k=0}^7 k$.", r"\sum_{k=0}^7 k", [])),
        ("The answer is $(8)(14)$, or $112$.", "112", "math", ("", "(8)(14) or 112", [])),
        ("Van's answer is a common one.", "80", "math", ("Van's answer is a common one.", None, ["missing_closing"])),
        ("The answer is correct and there is some additional constraint.", "757", "math",
         ("The answer is correct and there is some additional constraint.", None, ["missing_closing"])),
    ],
)  # fmt: skip
def test_rationale_answer_and_flags_of_a_response(
    text: str, gold: str, kind: Kind, result: tuple[str, str | None, list[str]]
) -> None:
    assert read_response(text, gold, kind) == result


OPTIONS = ["park", "garden", "roof"]


@pytest.mark.parametrize(
    ("text", "kind", "choices", "result"),
    [
        ("20 + 1 = 21.\n#### 21", "number", (), ("20 + 1 = 21.", "21", ["missing_closing", "other_layout"])),
        ("20 + 1 = 21. #### 21", "number", (), ("20 + 1 = 21.", "21", ["missing_closing", "other_layout"])),
        ("20 + 1 = 21.\n#### 21\nThe answer is 21", "number", (), ("20 + 1 = 21.", "21", ["doubled_closing"])),
        ("20 + 1.\n#### 21\nSo 21.\nThe answer is 21", "number", (), ("20 + 1.\nSo 21.", "21", ["doubled_closing"])),
        ("It is dark.\n**Answer:** No", "boolean", (), ("It is dark.", "False", ["missing_closing", "other_layout"])),
        ("It grows. Answer: (B) garden", "choice", OPTIONS, ("It grows.", "B", ["missing_closing", "other_layout"])),
        ("It grows.\n**Answer:** garden", "choice", OPTIONS, ("It grows.", "B", ["missing_closing", "other_layout"])),
        ("It grows. The answer is garden.", "choice", OPTIONS, ("It grows.", "B", [])),
        (r"So $\boxed{56}$ ways.", "number", (), (r"So $\boxed{56}$ ways.", "56", ["missing_closing"])),
        ("To find the answer: 1. Add the 3 pens to the 4 pens in the box. 2. So 7 pens. The answer is 7", "number", (),
         ("To find the answer: 1. Add the 3 pens to the 4 pens in the box. 2. So 7 pens.", "7", [])),
        ("80 + 45 = 125, which is 125 letters.", "number", (),
         ("80 + 45 = 125, which is 125 letters.", "125", ["missing_closing"])),
        (r"Conclusion: The area is \( 2\sqrt{3} \) cm.", "math", (),
         (r"Conclusion: The area is \( 2\sqrt{3} \) cm.", r"2\sqrt{3}", ["missing_closing"])),
        ("1 + 1 is 5? No.</think>So 2.\n#### 2", "number", (),
         ("1 + 1 is 5? No.\nSo 2.", "2", ["missing_closing", "other_layout", "thinking_tag"])),
        ("The answer is 5? No.</think>\n#### 2", "number", (),
         ("The answer is 5? No.", "2", ["missing_closing", "other_layout", "thinking_tag"])),
    ],
)  # fmt: skip
def test_a_conclusion_in_another_layout_is_read_and_becomes_the_closing_sentence(
    text: str, kind: Kind, choices: list[str], result: tuple[str, str | None, list[str]]
) -> None:
    assert read_response(text, None, kind, choices) == result


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        (r"The sum of the numbers is \(\frac{1}\)", True), (r"4. Thus $125(1 - \frac{x})", True),
        (r"The number is \( \binom{5}", True), (r"so \(a^2 + b^2", False), ("We compare b^2, and", True),
        (r"so that $a^2 + \sqrt{b}", True), ("He has $5, then $3 more, then $4", False),
        ("It costs $5 of his $20, and $3 of hers", False), (r"for a total of $ 5$ row-lengths", False),
        (r"of the length $\sqrt{90} cm.", False), (r"a half is \(\frac12\) of \(\frac{1}2\) of it", False),
    ],
)  # fmt: skip
def test_a_text_that_ends_in_the_middle_is_flagged(text: str, is_cut: bool) -> None:
    assert ("cut_text" in read_response(text, None, "boolean")[2]) == is_cut


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Add them. The answer is 19 + 18 = 37", "Add them. 19 + 18 = 37."),
        ("Add them. The answer is 37.", "Add them."),
        ("The answer is 88. Note: odd.", "The answer is 88. Note: odd."),
        ("It is 5, so the answer is 5", "It is 5."),
        ("Add them. Therefore, the answer should be 37.", "Add them."),
        ("The answer is 1500 (incorrect, answer should be 1275)",) * 2,
    ],
)
def test_reasoning_in_the_closing_sentence_is_kept(text: str, kept: str) -> None:
    assert strip_closing(text, "number", find_closing(text, "number")) == kept

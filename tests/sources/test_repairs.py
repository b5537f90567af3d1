"""A named rule repairs each defect of the released files, and correct text is not changed."""

import json
from pathlib import Path

import pytest

from cot_distill_datasets.sources.repairs import REPAIRS, repair_gold, repair_text


@pytest.mark.parametrize(
    ("damaged", "repaired", "rules"),
    [
        ("P = \x0crac{1}{2}", r"P = \frac{1}{2}", ["latex_escape"]),
        ("6 units.\\ The second.\\", "6 units.\nThe second.", ["line_break"]),
        ("is \x0crac16", r"is \frac16", ["latex_escape"]),
        ("2 \times 3", r"2 \times 3", ["latex_escape"]),
        ("P(\text{same})", r"P(\text{same})", ["latex_escape"]),
        ("A \to C", r"A \to C", ["latex_escape"]),
        ("A \neq 0", r"A \neq 0", ["latex_escape"]),
        ("-6 = \nabla + 2", r"-6 = \nabla + 2", ["latex_escape"]),
        ("\\left(2\right)^4", r"\left(2\right)^4", ["latex_escape"]),
        ("\x08inom{6}{2}", r"\binom{6}{2}", ["latex_escape"]),
        ("so $a \n e 0$ holds", r"so $a \ne 0$ holds", ["latex_escape"]),
        ("1. Add. \\n2. Divide.\\nNext.\\n", "1. Add. \n2. Divide.\nNext.", ["line_break"]),
        (r"\\pi and \\$1.17 and 20\\!:\\!34", r"\pi and \$1.17 and 20\!:\!34", ["double_escape"]),
        (
            "<Solution Path> 2 + 2 = 4.</Solution Path> The answer is 4",
            "2 + 2 = 4. The answer is 4",
            ["solution_path"],
        ),
        ("Solution Path: 2 + 2 = 4.", "2 + 2 = 4.", ["prompt_tag"]),
        ("So <answer> B", "So B", ["prompt_tag"]),
        ("<think>1 + 1 = 2.</think>", "1 + 1 = 2.", ["thinking_tag"]),
        ("48 / 2 = <<48/2=24>>24 pens", "48 / 2 = 24 pens", ["calculator_mark"]),
        ("1 + 1.\n<answer>\n2\n</answer>", "1 + 1.\n\nThe answer is 2", ["prompt_tag"]),
        ("The answer is <answer>2</answer>", "The answer is 2", ["prompt_tag"]),
        ("So 2. The answer is <answer>", "So 2.", ["prompt_tag"]),
        ("Hence <The answer is 25>", "Hence The answer is 25", ["prompt_tag"]),
    ],
)
def test_a_defect_is_repaired_and_flagged(damaged: str, repaired: str, rules: list[str]) -> None:
    assert repair_text(damaged) == (repaired, rules)
    assert set(rules) <= set(REPAIRS)


@pytest.mark.parametrize(
    "text",
    [
        "f=(3/4)*G;\ne=(1/2)*G;\nu = 15",  # a line that begins `e = 15` is not `\ne`
        "the sum\nequals 5,\nmid-way\nor",
        "Salary\tFuel\tTaxes\tan old\tone",
        "for(i)\n\tfor(j)\n\t\tdot(i)",
        r"$\nu \ne 3$ and \neq, \not and \nabla",
        "$a$ and\n e is $b$",  # a line break between two formulas
        r"so $w\ \text{kg}$ and $\sqrt{8},\ \sqrt{5}$",  # LaTeX's space
        r"\begin{array}{c} 1 \\times \end{array}",  # two backslashes end a row
        "a < b and c > d, x<5>y",
        "1 << 3 and 8 >> 2, so #### is no mark",
        "She walked a path: it was long.",
    ],
)
def test_text_without_defects_is_not_changed(text: str) -> None:
    assert repair_text(text) == (text, [])


def test_truncated_math_golds_are_completed_from_their_solutions(upstream: Path) -> None:
    rows = json.loads((upstream / "data/math_human.json").read_bytes())
    repaired = [(row, repair_gold(row["output"], "math", row["solution"])) for row in rows]
    truncated = [(row["output"], gold) for row, (gold, rules) in repaired if rules == ["cut_gold"]]
    assert len(truncated) == 71
    assert ("(-2, 23)", "(-2, 23), (0, 1)") in truncated  # the first of two boxes
    assert sum(gold.count("{") == gold.count("}") for gold, _ in truncated) == 25
    assert ("2\\sqrt{5", "2\\sqrt{5}") in truncated
    assert all(str(complete).count("{") == str(complete).count("}") for _, complete in truncated)


@pytest.mark.parametrize(
    ("gold", "solution", "expected"),
    [
        (r"\frac{1}", r"so $P = \boxed{\frac{1}{6}}$", r"\frac{1}{6}"),
        ("5", r"first $\boxed{5}$, then $\boxed{6}$", "5"),  # the first of two boxes is kept
        ("12", r"the sum is $12$.", "12"),
    ],
)
def test_a_gold_is_completed_only_if_it_is_a_prefix_of_the_last_box(gold: str, solution: str, expected: str) -> None:
    assert repair_gold(gold, "math", solution)[0] == expected


@pytest.mark.parametrize(
    ("gold", "letter"),
    [
        ("E", "E"), ("C.", "C"), ("Option B", "B"), ("OPTION A.", "A"), ("- D", "D"), ("c", "C"), ("'A'", "A"),
        ("D (360)", "D"), ("E=10", "E"), ("isD", "D"), ("is 7=D", "D"), ("216 ANSWER:B", "B"), ("A is correct", "A"),
        ("B The tourist must pay tax.", "B"), ("the smallest is 3. The correct answer is choice C. Note: no", "C"),
        ("0.40%", None), ("none of the above", None),
        ("E: 2s - r = 4 Hence option A is the greatest.", None), ("C: 11/16, so 0.5 (ANSWERB", None),
    ],
)  # fmt: skip
def test_choice_golds_are_reduced_to_the_letter(gold: str, letter: str | None) -> None:
    assert repair_gold(gold, "choice") == (letter, ["gold_form"] if letter not in (None, gold) else [])


def test_a_gold_from_the_code_of_a_drawing_is_rejected() -> None:
    gold, solution = '" + string(n) + "', r'[asy] label("$\boxed{" + string(n) + "}$"); [/asy] There are $22$ ways.'
    assert repair_gold(gold, "math", solution) == (None, [])


@pytest.mark.parametrize(
    ("gold", "canonical"),
    [
        ("k=3", "3"),
        (r"\text{(E)},", "(E)"),
        (r"240\text{ ways.}", "240"),
        (r"14,\!641", "14641"),
        (r"45^\circ", r"45^\circ"),
    ],
)
def test_formatting_around_math_golds_is_removed(gold: str, canonical: str) -> None:
    assert repair_gold(gold, "math", None)[0] == canonical


def test_all_but_18_aqua_golds_have_a_letter(upstream: Path) -> None:
    rows = json.loads((upstream / "data/aqua_only_ans.json").read_bytes())
    golds = [repair_gold(row["output"], "choice") for row in rows]
    assert (len(golds), sum(rules == ["gold_form"] for _, rules in golds), sum(g is None for g, _ in golds)) == (
        6940, 1998, 18,
    )  # fmt: skip


def test_zero_decimals_are_removed_from_a_gold() -> None:
    assert repair_gold("145.0", "number") == ("145", ["trailing_zero"])
    assert repair_gold("1.5", "number") == ("1.5", [])

"""Which answer is extracted: tables of literal rows `text | answer`, where ∅ is no answer and ⏎ a line break."""

import pytest
from support import parse_cells

from cot_distill_datasets.grading.answers import equivalent, extract


# Texts that follow "The answer is ".
STRICT = {
    "number": r"""
        18 | 18
        18. | 18
        **18** | 18
        **18**. | 18
        : 18 | 18
        :⏎18 | 18
        $18 | 18
        $18.00 | 18
        \$18.00 | 18
        $1,450.00. | 1450
        $ 7 | 7
        €5.50 | 5.5
        £1,000 | 1000
        18 dollars | 18
        18 dollars. | 18
        18 cm² | 18
        \boxed{18} | 18
        $\boxed{18}$. | 18
        $18$ | 18
        \(18\) | 18
        **$18** | 18
        *18* | 18
        "18" | 18
        <18> | 18
        1,234,567 | 1234567
        1{,}234 | 1234
        50% | 50
        50\% | 50
        12.5 percent | 12.5
        −3 | -3
        -3 | -3
        - 3 | -3
        -$5 | -5
        $-5 | -5
        0.50 | 0.5
        .5 | .5
        007 | 7
        0 | 0
        -0 | 0
        3.0 | 3
        1/2 | 1/2
        2/4 | 2/4
        6/3 | 2
        1 / 2 | 1/2
        1⁄2 | 1/2
        ½ | 1/2
        2½ | 5/2
        2 ½ | 5/2
        -½ | -1/2
        1 1/2 | 3/2
        1 1/2 hours | 3/2
        -1 1/2 | -3/2
        $1 1/2 | 3/2
        3\frac{1}{2} | 7/2
        3 \frac{1}{2} | 7/2
        $3\frac{1}{2}$ miles | 7/2
        \frac{3}{4} | 3/4
        $\frac{3}{4}$. | 3/4
        \dfrac{3}{4} | 3/4
        \frac34 | 3/4
        \frac 34 | 3/4
        -\frac{3}{4} | -3/4
        \frac{-3}{4} | -3/4
        \boxed{\frac{3}{4}} | 3/4
        \frac{8}{4} | 2
        1.2e3 | 1200
        1.2E+3 | 1200
        5e-1 | 0.5
        1.2 \times 10^3 | 1200
        1.2 × 10^{3} | 1200
        3×10^5 | 300000
        3 x 10^5 | 300000
        3*10^5 | 300000
        3 · 10⁵ | 300000
        2.5×10⁻² | 0.025
        10^6 | 1000000
        10^{-2} | 0.01
        1e99 | 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
        1e100 | ∅
        1e999 | ∅
        1.20e-3 | 0.0012
        1 1/212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121 | ∅
        12 + 13 = 25 | 25
        $12 + $13 = $25 | 25
        -10 + 24 = 14. | 14
        x = 5 | 5
        5 = x + 2 = 7 | 7
        17 (6 bills + the initial 11 bills) | 17
        4000 (and not 3000) | 4000
        about 40 | 40
        3 hours and 20 minutes | 3
        18, as shown above | 18
        18⏎⏎Is there anything else? 5 | 18
        84 - 52 | ∅
        3 × 4 | ∅
        2^3 | ∅
        1/0 | ∅
        eighteen | ∅
        <answer> | ∅
        not given | ∅
        not 18 | ∅
        none of these | ∅
        18, but this is wrong | ∅
        34 is likely incorrect | ∅
        likely incorrect | ∅
        46 hours (must be incorrect answer) | ∅
        17 ( Wait, that's not correct. The answer should be different) | ∅
        1500 (incorrect, answer should be 1275) | 1275
        4830 (error in problem, answer should be 4640) | 4640
        1152. This is likely a mistake in the question. The answer should be 960 | 960
        5. The answer should be in metres | 5
        120 (not 85, I assume it is a mistake) | 120
        294 (error: 231+63=294) | 294
    """,
    "choice": r"""
        B | B
        B. | B
        (B) | B
        (B). | B
        [B] | B
        B) | B
        **B** | B
        **(B)** | B
        Option B | B
        Option B. | B
        option (B) | B
        Choice B | B
        B: 1/2 | B
        B. nutrients | B
        B: nutrients | B
        B, nutrients | B
        B because it is warm | B
        \boxed{B} | B
        $\boxed{\text{(B)}}$. | B
        \textbf{B} | B
        \text{b} | B
        "B" | B
        : B | B
        :⏎(B) | B
        b | B
        (b) | B
        $B$ | B
        A | A
        A. | A
        A is right | A
        A large one | A
        a large one | ∅
        Ed | ∅
        E's house | ∅
        4 (C) | C
        7=D | D
        <answer> C | C
        not C | ∅
        C. The correct answer should be (D) | D
        none of the above | ∅
        F | F
        K | ∅
        7 | ∅
    """,
    "boolean": r"""
        True | True
        true | True
        TRUE. | True
        **True** | True
        yes | True
        Yes. | True
        Yes, it is | True
        (yes) | True
        False | False
        false, since it is cold | False
        no | False
        No. | False
        **No** | False
        \boxed{\text{No}} | False
        "no" | False
        not True | ∅
        True. No: the answer should be false. | False
        nothing | ∅
        notable | ∅
        maybe | ∅
        truely | ∅
        1 | ∅
    """,
    "math": r"""
        18 | 18
        $18$. | 18
        $\frac{1}{2}$ | \frac{1}{2}
        $\dfrac12$ | \frac{1}{2}
        \boxed{\frac{1}{2}} | \frac{1}{2}
        $\boxed{x+1}$. | x+1
        1/2 | \frac{1}{2}
        \(x^2\) | x^2
        \[x^2\] | x^2
        $$x^2$$ | x^2
        $x = 3$ | 3
        $a + b = 2 + 3 = 5$ | 5
        $105^\circ$ | 105
        $10\%$ | 10
        $(1,2)$ | (1,2)
        $5$ apples | 5
        $3003$, take the remainder when divided | ∅
        the larger of both | ∅
        not $5$ | ∅
        correct. Then m + n = 441 | ∅
        wrong | ∅
        unknown | ∅
        105\(degree) | 105
        5. The answer should be $\frac{1}{2}$ | \frac{1}{2}
    """,
}  # fmt: skip

# Complete texts. One with a closing sentence is read like those above.
FLEXIBLE = {
    "number": r"""
        He has 7 left. | 7
        3 pens, then 1,200. | 1200
        So he pays $18.00 | 18
        First 5⏎then 6⏎and that is all | 6
        It is 1 1/2 | 3/2
        It is \frac{3}{4} of it | 3/4
        It is ½ | 1/2
        About 3 × 10^5 people | 300000
        x2 is a name | ∅
        none at all | ∅
        18 | 18
        The answer is 5. I used 3 | 5
        The answer is eighteen: 6 + 12 = 18 | 18
        The answer is 4. No, wait. The answer is 5 | 5
        The final answer is 7 | 7
        The correct answer is: 7 | 7
        7 - 5 (dad) = 2The answer is 2 | 2
        Subtract 8 - 4. | ∅
        It is x - 10 | ∅
        It's -10 | -10
        It fell from 3⏎- 10 | -10
        a = -10 | -10
        It is 22. The correct answer is not 22. | ∅
        It is 46. The answer is 46 (must be incorrect) | ∅
        The answer is not -5, I think | ∅
        The answer is not 11. The answer is likely incorrect. | ∅
        The answer is not 40, it's 50 | 50
        The answer is 225 was incorrect, my answer is 120 | 120
    """,
    "choice": r"""
        I pick (B). | B
        Not A, but D | D
        So B: it is warm | B
        Option B | B
        A dog has four legs | ∅
        A European country | ∅
        A 747 flies | ∅
        Plan A and plan B | B
        Both A and C | C
        Vitamins are good | ∅
        Type-A person | ∅
        It is D-day | ∅
        E's house | ∅
        The answer is C. Not D | C
        The answer is NOT D | ∅
        C is incorrect. The answer is None of the above | ∅
        The answer is not available in the choices, but the closest one is D. | D
    """,
    "boolean": r"""
        So it is true. | True
        That is False | False
        Yes, it can. | True
        Therefore, yes. | True
        I say no | False
        So: no. | False
        No dog flies | ∅
        There is no way | ∅
        A plain 'yes' or 'no' is not to be had | ∅
        True at first, but then false. | False
        untrue things | ∅
        The answer is yes. It is not false. | True
        True at first. The answer is not true. | False
    """,
    "math": r"""
        so $\boxed{\frac{1}{2}}$. | \frac{1}{2}
        \boxed{1} and then \boxed{2} | 2
        \boxed{1 | 1
        no box, but 7 | 7
        [asy] 5 [/asy] then \boxed{3} | 3
        It is 7. [asy] draw(5) [/asy] | 7
        x = \frac{1}{2} (\frac{1}{y} - 10). | x = \frac{1}{2} (\frac{1}{y} - 10)
        Thus $36$ is the least perfect square divisible by both 2 and 3. | 36
        There are $18+25+16+9+4+1=73$ squares containing at least 5 black squares. | 73
        7. Solve for b: \(b = \sqrt{16}\). | \sqrt{16}
        We get \[f(x) = x^2 + 5x + 4.\] | x^2 + 5x + 4
        So $\frac{24}{\pi} \approx 7.64$. | 7.64
        Subtract the 7 from $x$ | 7
        The remainder when $15$ is divided by 8 is 7. | 7
        As $a = 5$ there are some. He has 2 boxes. | 2
        Solve $8 = y$ | 8
        He pays $5 and $7 | 7
        It is \boxed{5}. The answer is not $5$. | ∅
        The answer is not $5$ but \boxed{6} | 6
        nothing | ∅
    """,
}  # fmt: skip


def test_the_tables_are_parsed_completely() -> None:
    assert [len(parse_cells(table)) for table in (STRICT, FLEXIBLE)] == [202, 78]


@pytest.mark.parametrize(("kind", "closing", "answer"), parse_cells(STRICT))
def test_strict_reads_the_closing_sentence(kind: str, closing: str, answer: str) -> None:
    for before in ("The answer is", "So 2 + 3 = 5.\nThe answer is", "The answer is 99. No: the final answer is"):
        text = f"{before}{closing}" if closing[0] == ":" else f"{before} {closing}"
        assert extract(text, kind, strict=True) == (answer or None)


@pytest.mark.parametrize(("kind", "text", "answer"), parse_cells(FLEXIBLE))
def test_flexible_falls_back_to_the_last_standalone_answer(kind: str, text: str, answer: str) -> None:
    assert extract(text, kind, strict=False) == (answer or None)
    if "answer is" not in text:
        assert extract(text, kind, strict=True) is None


@pytest.mark.parametrize("kind", ["number", "choice", "boolean", "math"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_closing_sentence_is_found_after_text_of_any_length(kind: str, strict: bool) -> None:
    answer = {"number": "18", "choice": "C", "boolean": "True", "math": "x+1"}[kind]
    assert extract("1 A yes " * 10**5 + f"The answer is {answer}", kind, strict=strict) == answer


NOISE = ["9", "{", " ", r"\boxed{", "[asy]", "$", "-", "the answer is ", "the answer is not ", "1 (", "A-", "\ud800"]
NOISE += ["answer should be ", "½"]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("kind", ["number", "choice", "boolean", "math"])
def test_a_megabyte_of_noise_gives_no_answer(noise: str, kind: str) -> None:
    text = noise * (10**6 // len(noise))
    for before in ("", "The answer is "):
        assert extract(before + text, kind, strict=True) is None
        assert extract(before + text, kind, strict=False) in (None, "1", "1/2")
        assert not equivalent(before + text, "3", kind)

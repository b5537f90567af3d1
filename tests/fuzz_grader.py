"""Fuzz the grader: `python tests/fuzz_grader.py --minutes 10` (needs `pip install atheris`; not part of the tests).

Atheris mutates bytes, guided by the branch coverage of our modules. Each input is spliced from fragments of answers
and of text that breaks graders. A finding is an input that raises, takes more than 2 s of CPU time, or violates a
property below. The LaTeX judge is a separate process without coverage, so only every hundredth input calls it.
"""

import argparse
import os
import resource
import sys
import time
from collections import Counter
from tempfile import gettempdir

import atheris


with atheris.instrument_imports(include=["cot_distill_datasets"]):
    from cot_distill_datasets.grading import answers, closings, conclusions, latex, numbers, tidying

KINDS = ("number", "choice", "boolean", "math")
FRAGMENTS = (
    "The answer is ", "the final answer is: ", "So, ", "18", "1,450.00", "$", "\\$", "%", "−", "-", "½", "10⁵",
    "1 1/2", "\\frac{1}{2}", "\\frac12", "\\boxed{", "}", "{", "**", "(B)", "A ", "Option C", "D.", "E: ", "yes",
    "No", "True.", "not ", "wrong", " but ", "=", " = ", "+", "/", "^", "_4", "\\sqrt{", "\\text{ cm}", "\\left(",
    ",", ", ", "\n", ". ", "[asy]", "[/asy]", "\\sum_{n=1}^{1000000000}", "9**9**9**9", "10000000!", "e3",
    "\\times 10^{", "NaN", "\ud800", "\x00", "٣", "9" * 120, " " * 50, "{" * 40, "\u202f", "x", "\\circ", "because ",
    ":", "1:2", "(1,2)",
)  # fmt: skip
LIMIT = 2.0  # seconds of CPU time for an input; for the judge, wall-clock time, and late verdicts are only counted
slowest = 0.0
seen: Counter[str] = Counter()


def one_input(data: bytes) -> None:
    """Check one pair of texts as every kind of answer."""
    global slowest
    text, other = splice(atheris.FuzzedDataProvider(data))
    seen["inputs"] += 1
    for kind in KINDS:
        started = time.process_time()
        check(text, other, kind)
        slowest = max(slowest, time.process_time() - started)
        if time.process_time() - started > LIMIT:
            raise AssertionError(f"slow: {kind}")
    if seen["inputs"] % 100 == 0:
        started = time.monotonic()
        seen[latex.verdict(text[:200], other[:200])] += 1
        seen["judged late"] += time.monotonic() - started > LIMIT


def splice(source: atheris.FuzzedDataProvider) -> tuple[str, str]:
    """Return two texts made of fragments. The first may repeat a fragment up to 40 times."""
    parts = ["", ""]
    for side in (0, 1):
        for _ in range(source.ConsumeIntInRange(0, 12)):
            pick = source.ConsumeIntInRange(0, len(FRAGMENTS))
            part = FRAGMENTS[pick] if pick < len(FRAGMENTS) else source.ConsumeUnicode(6)
            parts[side] += part * (1 if side else source.PickValueInList([1, 1, 1, 1, 2, 40]))
    return parts[0], parts[1]


def check(text: str, other: str, kind: answers.Kind) -> None:
    """Raise AssertionError if the grader contradicts itself."""
    strict = answers.extract(text, kind, strict=True)
    flexible = answers.extract(text, kind, strict=False)
    assert strict is None or flexible == strict, "a closing sentence counts in both modes"
    if kind != "math":
        for answer in (strict, flexible):
            assert answer is None or answers.equivalent(answer, answer, kind), "an answer equals itself"
            assert answer is None or answers.normalize(answer, kind) == answer, "an answer is canonical"
        assert answers.equivalent(text, other, kind) == answers.equivalent(other, text, kind), (
            "equivalence is symmetric"
        )
    elif flexible:
        assert latex.equivalent(flexible, flexible), "an answer equals itself"
        assert tidying.tidy(flexible) == flexible or strict is None, "a strict answer is tidy"
    canonical = numbers.normalize_number(text)
    assert canonical is None or numbers.number_value(canonical) == numbers.number_value(text), (
        "normalizing keeps the value"
    )
    closings.strip_closing(text, kind, conclusions.find_closing(text, kind))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    seconds = round(60 * parser.parse_args().minutes)
    assert latex.equivalent("x+2", "2+x")  # starts the judge
    deadline = time.monotonic() + seconds

    def one_input_until_deadline(data: bytes) -> None:
        """Print the counts at the deadline and exit; raising an exception would count as a finding."""
        one_input(data)
        if time.monotonic() > deadline:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"{seconds} s, no finding; {dict(seen)}; slowest {slowest:.2f} s; {memory} MB", flush=True)
            os._exit(0)

    atheris.Setup(
        [sys.argv[0], "-len_control=0", "-max_len=400", f"-artifact_prefix={gettempdir()}/"], one_input_until_deadline
    )
    atheris.Fuzz()

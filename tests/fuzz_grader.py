"""Fuzz the grader by hand: `python tests/fuzz_grader.py --minutes 10` (needs `pip install atheris`; no test runs it).

Atheris mutates bytes, led by the branches of our modules; each input is spliced from fragments of answers and of what
breaks graders. Whatever raises, takes longer than 2 s of the processor, or breaks a property below is a finding. LaTeX
is judged in a process that coverage does not reach, so only every hundredth input asks it.
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
    from cot_distill_datasets import answers, closings, latex, numerals

KINDS = ("number", "choice", "boolean", "math")
FRAGMENTS = (
    "The answer is ", "the final answer is: ", "So, ", "18", "1,450.00", "$", "\\$", "%", "−", "-", "½", "10⁵",
    "1 1/2", "\\frac{1}{2}", "\\frac12", "\\boxed{", "}", "{", "**", "(B)", "A ", "Option C", "D.", "E: ", "yes",
    "No", "True.", "not ", "wrong", " but ", "=", " = ", "+", "/", "^", "_4", "\\sqrt{", "\\text{ cm}", "\\left(",
    ",", ", ", "\n", ". ", "[asy]", "[/asy]", "\\sum_{n=1}^{1000000000}", "9**9**9**9", "10000000!", "e3",
    "\\times 10^{", "NaN", "\ud800", "\x00", "٣", "9" * 120, " " * 50, "{" * 40, "\u202f", "x", "\\circ", "because ",
    ":", "1:2", "(1,2)",
)  # fmt: skip
LIMIT = 2.0  # seconds of the processor for an input; the judge's are by the clock, and a late one is counted
slowest = 0.0
seen: Counter[str] = Counter()


def one_input(data: bytes) -> None:
    """Grade one text in every way."""
    global slowest
    text, other = spliced(atheris.FuzzedDataProvider(data))
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


def spliced(source: atheris.FuzzedDataProvider) -> tuple[str, str]:
    """Return two texts; the first may repeat a part many times."""
    parts = ["", ""]
    for side in (0, 1):
        for _ in range(source.ConsumeIntInRange(0, 12)):
            pick = source.ConsumeIntInRange(0, len(FRAGMENTS))
            part = FRAGMENTS[pick] if pick < len(FRAGMENTS) else source.ConsumeUnicode(6)
            parts[side] += part * (1 if side else source.PickValueInList([1, 1, 1, 1, 2, 40]))
    return parts[0], parts[1]


def check(text: str, other: str, kind: answers.Kind) -> None:
    """Raise AssertionError where the grader contradicts itself."""
    strict = answers.extract(text, kind, strict=True)
    flexible = answers.extract(text, kind, strict=False)
    assert strict is None or flexible == strict, "a closing sentence counts in both"
    if kind != "math":
        for found in (strict, flexible):
            assert found is None or answers.equivalent(found, found, kind), "an answer is itself"
            assert found is None or answers.normalise(found, kind) == found, "an answer is canonical"
        assert answers.equivalent(text, other, kind) == answers.equivalent(other, text, kind), "both ways"
    elif flexible:
        assert latex.equivalent(flexible, flexible), "an answer is itself"
        assert latex.tidy(flexible) == flexible or strict is None, "a conclusion is tidy"
    canonical = numerals.normalise_number(text)
    assert canonical is None or numerals.number_value(canonical) == numerals.number_value(text), "the same value"
    closings.without_closing(text, kind)
    answers.denies(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    seconds = round(60 * parser.parse_args().minutes)
    assert latex.equivalent("x+2", "2+x")  # the judge is started once
    ended = time.monotonic() + seconds

    def watched(data: bytes) -> None:
        """Say what was done when the time is over, and end: what is raised here would count as a finding."""
        one_input(data)
        if time.monotonic() > ended:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"{seconds} s, no finding; {dict(seen)}; slowest {slowest:.2f} s; {memory} MB", flush=True)
            os._exit(0)

    atheris.Setup([sys.argv[0], "-len_control=0", "-max_len=400", f"-artifact_prefix={gettempdir()}/"], watched)
    atheris.Fuzz()

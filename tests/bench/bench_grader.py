"""How many completions a second the grader judges on one core: `make bench`, or `taskset -c 0 python` and this file.

Grading is `extract` from a whole completion and `equivalent` to the gold. Each kind is graded over every training
completion of the release: `right` against its own gold, `other` against the next row's, and without its closing
sentence, where the last answer that stands alone is looked for. LaTeX pairs are judged once and remembered, so the
rate of the distinct pairs that reach math-verify stands beside. Seconds are the processor's; those in which the judge
is waited for, a process of its own, are the clock's. Takes half a minute on the release of the paper's files, which it
builds first.
"""

import os
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from cot_distill_datasets import latex
from cot_distill_datasets.answers import CLOSING, Kind, equivalent, extract
from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.build import build


Pairs = list[tuple[str, str]]

SHARED = Path(__file__).parents[3] / "shared"

judged: list[tuple[str, str]] = []
spent = 0.0


def main(release: Path) -> None:
    """Print a line for each kind and way."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    latex.equivalent("x+1", "1+x")  # the worker runs
    latex._judge = watched(latex._judge)
    by_kind: dict[Kind, Pairs] = {"number": [], "choice": [], "boolean": [], "math": []}
    for path in sorted(release.glob("data/*/train-*.parquet")):
        for row in pq.read_table(path, columns=["benchmark", "answer", "completion"]).to_pylist():
            by_kind[BENCHMARKS[row["benchmark"]].answer_kind].append((row["completion"][0]["content"], row["answer"]))
    for kind, pairs in by_kind.items():
        golds = [gold for _, gold in pairs]
        texts = [text for text, _ in pairs]
        bare = [re.sub(CLOSING, "So it is", text) for text in texts]
        measure(f"{kind}, strict, right", pairs, kind, strict=True)
        measure(f"{kind}, strict, other", list(zip(texts, golds[1:] + golds[:1])), kind, strict=True)
        measure(f"{kind}, flexible, no closing sentence", list(zip(bare, golds)), kind, strict=False)
    distinct_golds(sorted({gold for _, gold in by_kind["math"]}))


def measure(name: str, pairs: Pairs, kind: Kind, *, strict: bool) -> None:
    """Grade `pairs` once, caches empty, and print the rate; of LaTeX also what reached the judge."""
    global spent
    latex._tidy.cache_clear()
    latex._verdict.cache_clear()
    judged.clear()
    spent, started, same = 0.0, time.process_time(), 0
    for text, gold in pairs:
        answer = extract(text, kind, strict=strict)
        same += answer is not None and equivalent(answer, gold, kind)
    rate = len(pairs) / (time.process_time() - started + spent)
    print(f"{name}: {len(pairs):,} completions, {rate:,.0f} a second, {same / len(pairs):.1%} the same")
    if judged:
        print(f"    of them {len(judged):,} distinct pairs reached math-verify, {len(judged) / spent:,.0f} a second")


def distinct_golds(golds: list[str]) -> None:
    """Judge each gold against ten others: pairs that all differ, so that no memory helps."""
    global spent
    latex._verdict.cache_clear()
    judged.clear()
    spent, started = 0.0, time.process_time()
    pairs = [(gold, golds[(index + step) % len(golds)]) for index, gold in enumerate(golds) for step in range(1, 11)]
    verdicts = [latex.verdict(a, b) for a, b in pairs]
    rate = len(pairs) / (time.process_time() - started + spent)
    print(f"math, distinct golds, each pair once: {len(pairs):,} pairs, {rate:,.0f} a second, no memory")
    print(f"    of them {len(judged):,} reached math-verify, {len(judged) / spent:,.0f} a second")
    print(f"    verdicts: { ({verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}) }")


def watched(judge: Callable[[str, str], latex.Verdict]) -> Callable[[str, str], latex.Verdict]:
    """Return `judge`, its calls and their time counted."""

    def counted(a: str, b: str) -> latex.Verdict:
        global spent
        started = time.perf_counter()
        try:
            return judge(a, b)
        finally:
            judged.append((a, b))
            spent += time.perf_counter() - started

    return counted


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder) / "release", SHARED / "upstream", SHARED / "benchmarks")
        main(Path(folder) / "release")

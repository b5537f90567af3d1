"""Measure how many completions per second the grader grades on one core.

Run `make bench`, or `taskset -c 0 python` with this file. It takes half a minute and first builds the release.

Grading a completion is one call of `extract` and one of `equivalent`. Each kind of answer is measured on all training
completions of the release. `right` compares with the row's own gold, and `other` with the next row's. The third
measurement removes the closing sentence, so the last standalone answer is searched for. Verdicts on LaTeX are cached,
so the rate of the distinct pairs that reach math-verify is printed separately. Times are CPU time, plus the wall-clock
time spent waiting for the judge, which is a separate process.
"""

import os
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.grading import latex, tidying
from cot_distill_datasets.grading.answers import CLOSING, Kind, equivalent, extract
from cot_distill_datasets.release.build import build


Pairs = list[tuple[str, str]]

SHARED = Path(__file__).parents[3] / "shared"

judged: list[tuple[str, str]] = []
spent = 0.0


def main(release: Path) -> None:
    """Print one line per kind of answer and measurement."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    latex.equivalent("x+1", "1+x")  # starts the worker
    latex.judge = timed(latex.judge)
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
    """Grade `pairs` once with empty caches and print the rate, and for LaTeX the rate of the judge."""
    global spent
    tidying._tidy_cached.cache_clear()
    latex._cached_verdict.cache_clear()
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
    """Compare each gold with ten others, so that no pair is cached."""
    global spent
    latex._cached_verdict.cache_clear()
    judged.clear()
    spent, started = 0.0, time.process_time()
    pairs = [(gold, golds[(index + step) % len(golds)]) for index, gold in enumerate(golds) for step in range(1, 11)]
    verdicts = [latex.verdict(a, b) for a, b in pairs]
    rate = len(pairs) / (time.process_time() - started + spent)
    print(f"math, distinct golds, each pair once: {len(pairs):,} pairs, {rate:,.0f} a second, uncached")
    print(f"    of them {len(judged):,} reached math-verify, {len(judged) / spent:,.0f} a second")
    print(f"    verdicts: { ({verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}) }")


def timed(judge: Callable[[str, str], latex.Verdict]) -> Callable[[str, str], latex.Verdict]:
    """Return `judge` with its calls and their time recorded."""

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

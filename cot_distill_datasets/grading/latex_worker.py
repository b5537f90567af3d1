"""The process that compares LaTeX: it reads one JSON pair per line and writes one verdict per line.

Model output can make sympy run forever, so the pairs are compared in a fork with limits on time and memory. A new fork
replaces one that reached a limit, without importing anything again. Only the LaTeX parser of math-verify is used,
because its expression parser evaluates its input. `latex_judge.py` is the client.
"""

import gc
import json
import logging
import os
import resource
import signal
import sys
from functools import lru_cache
from math import isfinite
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, Float, MatrixBase, Rational, Symbol, UnevaluatedExpr, prime


CPU_LIMIT = 1.0  # seconds of CPU time for one pair
CLOCK_LIMIT = 1.5  # seconds of wall-clock time for one pair; only a busy machine reaches it first
MEMORY_LIMIT = 200 << 20  # bytes of data; the imports take a quarter of it
_NOT_COMPARABLE = (Symbol, MatrixBase, UnevaluatedExpr)
LATEX = [LatexExtractionConfig()]


def main() -> None:
    """Write a verdict for each pair: `same`, `other`, `timeout`, or `busy` if the wall-clock limit came first."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    logging.disable()  # math-verify warns for every pair that timeouts are off or that it cannot parse it
    for name in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(name, signal.SIG_DFL)  # the default action ends the process
    _is_same(r"\frac{x}{2}", "x+1")  # builds the tables of the parser before the fork
    gc.freeze()
    print("ready", flush=True)
    while (child := os.fork()) and (status := os.waitpid(child, 0)[1]):
        print("busy" if os.waitstatus_to_exitcode(status) == -signal.SIGALRM else "timeout", flush=True)
    if not child:
        _serve()


def _serve() -> None:
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
        signal.setitimer(signal.ITIMER_REAL, CLOCK_LIMIT)
        same = _is_same(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("same" if same else "other", flush=True)


def _is_same(a: str, b: str) -> bool:
    first, second = _parse(a), _parse(b)
    return not _values_differ(first, second) and bool(verify(first, second, timeout_seconds=None))


@lru_cache(1000)
def _parse(side: str) -> list[Any]:
    # None disables math-verify's own timeouts, which use the same signals.
    return list(parse(f"${side}$", LATEX, parsing_timeout=None))


def _values_differ(first: list[Any], second: list[Any]) -> bool:
    """Whether two expressions have different values at one point, which proves that they are not equal.

    This avoids a symbolic proof, which takes ten times longer. It is skipped for what math-verify compares by other
    rules: decimals (rounded), single symbols (by name), and everything that is not a plain expression.
    """
    sides = [parsed[0] for parsed in (first, second) if parsed]
    if len(sides) < 2 or not all(isinstance(side, Expr) and not isinstance(side, _NOT_COMPARABLE) for side in sides):
        return False
    if any(side.has(Float) for side in sides):
        return False
    symbols = sorted(set().union(*(side.free_symbols for side in sides)), key=str)
    point = {symbol: Rational(prime(20 + number), 100) for number, symbol in enumerate(symbols)}
    try:
        left, right = (complex(side.evalf(subs=point)) for side in sides)
    except Exception:  # sympy raises many types for a point without a value
        return False
    return isfinite(abs(left)) and isfinite(abs(right)) and abs(left - right) > 1e-6 * (1 + abs(left) + abs(right))


if __name__ == "__main__":
    main()

"""The process that judges LaTeX (`python -m cot_distill_datasets.latex_worker`): a JSON pair a line in, a verdict out.

What a model wrote can make sympy work for ever, so pairs are judged in a fork, which has a limit of memory and ends
itself when a pair takes too long; the next fork has all imports done. Of math-verify only the LaTeX parser is used:
the other one evaluates what it reads.
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


CPU_LIMIT = 1.0  # seconds of processor time for one pair
CLOCK_LIMIT = 1.5  # seconds for one pair by the clock, where the machine is busy
MEMORY = 200 << 20  # bytes of data; the imports take a quarter of it
_OTHERWISE = (Symbol, MatrixBase, UnevaluatedExpr)
LATEX = [LatexExtractionConfig()]


def main() -> None:
    """Answer each pair until the input ends: `same`, `other`, `timeout`, or `busy` where only the clock ran out."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    logging.disable()  # math-verify warns of every pair that it has no time-outs, or cannot read
    for name in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(name, signal.SIG_DFL)  # they end the process
    _is_same(r"\frac{x}{2}", "x+1")  # the parser's tables
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
    first, second = _parsed(a), _parsed(b)
    return not _differ(first, second) and bool(verify(first, second, timeout_seconds=None))


@lru_cache(1000)
def _parsed(side: str) -> list[Any]:
    # math-verify's own time-outs are signals: None switches them off.
    return list(parse(f"${side}$", LATEX, parsing_timeout=None))


def _differ(first: list[Any], second: list[Any]) -> bool:
    """Whether two expressions have different values at a point: then no rule of algebra makes them the same.

    It spares the attempt at a proof, which takes ten times longer. What math-verify compares otherwise is left to it:
    decimals, which it rounds, lone symbols, which it compares by name, and whatever is no plain expression.
    """
    sides = [parsed[0] for parsed in (first, second) if parsed]
    if len(sides) < 2 or not all(isinstance(side, Expr) and not isinstance(side, _OTHERWISE) for side in sides):
        return False
    if any(side.has(Float) for side in sides):
        return False
    symbols = sorted(set().union(*(side.free_symbols for side in sides)), key=str)
    point = {symbol: Rational(prime(20 + number), 100) for number, symbol in enumerate(symbols)}
    try:
        left, right = (complex(side.evalf(subs=point)) for side in sides)
    except Exception:  # sympy's are of many kinds: no value there
        return False
    return isfinite(abs(left)) and isfinite(abs(right)) and abs(left - right) > 1e-6 * (1 + abs(left) + abs(right))


if __name__ == "__main__":
    main()

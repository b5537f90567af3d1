"""The process that compares LaTeX: it reads one JSON pair per line and writes one verdict per line.

Model output can make sympy run forever, so the pairs are compared in a fork with limits on time and memory. A new fork
replaces one that reached a limit, without importing anything again. Only the LaTeX parser of math-verify is used,
because its expression parser evaluates its input. `latex_judge.py` is the client.
"""

import gc
import json
import logging
import os
import re
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Derivative, Equality, Expr, Float, I, MatrixBase, Rational, Set, Symbol, UnevaluatedExpr, prime
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import Boolean


CPU_LIMIT = 1.0  # seconds of CPU time for one pair
CLOCK_LIMIT = 1.5  # seconds of wall-clock time for one pair; only a busy machine reaches it first
MEMORY_LIMIT = 200 << 20  # bytes of data; the imports take a quarter of it
_NOT_COMPARABLE = (Symbol, MatrixBase, UnevaluatedExpr)
_I = Symbol("i", real=False)  # as math-verify parses the letter
_DIGITS = 20
_PRODUCT = re.compile(r"(?:(?<![\w.^_])\d+|\))(?=\s*\()")  # math-verify reads 8(14) as the mixed number 8 + 14
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
    for line in sys.stdin if not child else ():
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
        signal.setitimer(signal.ITIMER_REAL, CLOCK_LIMIT)
        same = _is_same(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("same" if same else "other", flush=True)


def _is_same(a: str, b: str) -> bool:
    """Compare two expressions or two equations. math-verify must find them equal in both directions."""
    first, second = _parse(a), _parse(b)
    if "=" in a and "=" in b:
        sides = [_parse(side)[:1] for equation in (a, b) for side in equation.split("=", 1)]
        return all(sides) and _same_equation(*(side[0] for side in sides))
    if first and second:
        if (same := _same_values(first[0], second[0])) is not None:
            return same
        first, second = _as_sets(first, second), _as_sets(second, first)
    return all(verify(*pair, timeout_seconds=None) for pair in ((first, second), (second, first)))


@lru_cache(1000)
def _parse(side: str) -> list[Any]:
    # None disables math-verify's own timeouts, which use the same signals.
    side = _PRODUCT.sub(r"\g<0>\\cdot ", side)
    parsed = list(parse(f"${side}$", LATEX, parsing_timeout=None))
    if parsed and isinstance(parsed[0], Expr):  # sympy evaluates the derivative of a letter to 0
        parsed[0] = parsed[0].replace(Derivative, lambda *parts: Symbol(f"d{parts}")).subs(_I, I)
    return parsed


def _as_sets(parsed: list[Any], other: list[Any]) -> list[Any]:
    r"""Return the set of a solution (`x < 3`, `x \in [1, 2]`), if it is compared with a set."""
    solution = parsed[0]
    if isinstance(getattr(solution, "rhs", None), Set):  # `x \\in [1, 2]`
        return [solution.rhs]
    is_relation = isinstance(solution, Boolean) and not isinstance(solution, Equality)
    if not isinstance(getattr(other[0], "rhs", other[0]), Set) or not is_relation or len(solution.free_symbols) != 1:
        return parsed
    variable = next(iter(solution.free_symbols))
    return [solution.replace(lambda part: isinstance(part, AppliedUndef), lambda part: variable).as_set()]


def _same_values(first: Any, second: Any) -> bool | None:
    """Compare the values at a few points, ten times faster than a symbolic proof; None if these prove nothing."""
    values = _values(first, second)
    if not values or (len(values) < 2 and (first.free_symbols or second.free_symbols)):
        return None
    return all(_is_close(left, right) for left, right in values)


def _same_equation(*sides: Any) -> bool:
    """Whether `a = b` and `c = d` are the same equation up to a constant factor; constants must match side by side."""
    if not all(isinstance(side, Expr) and not isinstance(side, MatrixBase) for side in sides):
        return False
    left, right = sides[0] - sides[1], sides[2] - sides[3]
    ratios = [a / b for a, b in _values(left, right, exact=False) if b and a]
    return len(ratios) > 2 and all(_is_close(ratio, ratios[0]) for ratio in ratios)


def _values(first: Any, second: Any, *, exact: bool = True) -> list[tuple[Any, Any]]:
    """Return the values of two expressions at the points where both have one.

    Variables stand for real numbers. math-verify compares what has no values here by other rules: decimals (rounded),
    single symbols (by name), and everything that is not a plain expression.
    """
    if not all(isinstance(side, Expr) and not isinstance(side, _NOT_COMPARABLE) for side in (first, second)):
        return []
    if exact and (first.has(Float) or second.has(Float)):
        return []
    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    values = []
    for step, sign in enumerate((1, -1, 1, -1) if symbols else (1,)):
        point = {symbol: sign * Rational(prime(20 + 7 * step + n), 40) for n, symbol in enumerate(symbols)}
        try:
            pair = first.evalf(_DIGITS, subs=point), second.evalf(_DIGITS, subs=point)
        except Exception:  # sympy raises many types for a point without a value
            continue
        is_real = all(value.is_real for value in pair)
        if all(value.is_number and value.is_finite for value in pair) and (is_real or first.has(I) or second.has(I)):
            values.append(pair)
    return values


def _is_close(left: Any, right: Any) -> bool:
    """Whether two values are equal to nine digits. The tolerance is relative: 1/2004! is not 1/2006!."""
    left, right = (0 if getattr(value, "_prec", 0) == 1 else value for value in (left, right))  # sympy's unsure zero
    return bool(abs(left - right) <= Float(10) ** -9 * (abs(left) + abs(right)))


if __name__ == "__main__":
    main()

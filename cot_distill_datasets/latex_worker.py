"""The process that judges LaTeX (`python -m cot_distill_datasets.latex_worker`): a JSON pair a line in, a verdict out.

It may be killed at any moment, and its memory is limited: what a model wrote can make sympy work for ever.
"""

import json
import logging
import resource
import sys

from math_verify import parse, verify


MEMORY = 2 << 30  # bytes of address space; the imports take a quarter of it


def main() -> None:
    """Answer `same` or `other` for each pair until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable()  # math-verify warns of every pair that it has no time-outs, or cannot read
    print("ready", flush=True)
    for line in sys.stdin:
        print("same" if _same(*json.loads(line)) else "other", flush=True)


def _same(a: str, b: str) -> bool:
    # math-verify's own time-outs are signals, and the parent keeps the time: None switches them off.
    first, second = (parse(f"${side}$", parsing_timeout=None) for side in (a, b))
    return bool(verify(first, second, timeout_seconds=None))


if __name__ == "__main__":
    main()

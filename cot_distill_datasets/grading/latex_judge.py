"""The client of the process that compares LaTeX (`latex_worker.py`): started on first use, replaced if it dies."""

import atexit
import json
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import Literal

from ..errors import CotDistillError


Verdict = Literal["same", "other", "timeout"]


def judge(a: str, b: str) -> Verdict:
    """Ask the worker to compare two LaTeX expressions. Raises `TimeoutError` if the machine is too busy to decide."""
    if (process := worker()).poll() is not None:  # it was killed
        stop()
        process = worker()
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError):  # it died just now
        process.stdin.write(json.dumps([a, b]) + "\n")
        process.stdin.flush()
    reply = process.stdout.readline().strip()
    if reply == "busy":
        raise TimeoutError
    return "same" if reply == "same" else "other" if reply == "other" else "timeout"


@cache
def worker() -> subprocess.Popen[str]:
    """Return the worker process, started if there is none."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cot_distill_datasets.grading.latex_worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    if not process.stdout.readline():  # "ready": its imports do not count as a pair's time
        raise CotDistillError("The LaTeX worker did not start: see its own message above, and run `pip check`.")
    return process


@atexit.register
def stop() -> None:
    """Kill the worker, if there is one."""
    if worker.cache_info().currsize:
        process = worker()
        worker.cache_clear()
        process.kill()
        with suppress(BrokenPipeError):  # input that it had not read
            process.communicate()

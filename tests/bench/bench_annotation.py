"""What `cot-distill annotate` costs beside the teacher: its rate, its memory, and its start with a large store.

    make bench
    .venv/bin/python tests/bench/bench_annotation.py --answers 100000

A server without a model (`tests/teacher_server.py`, in its own process) answers each request after 200 ms.

- Rate: answers per second of the whole run, as a share of the ideal, concurrency / 200 ms, at 64 and 512.
- Memory: the peak of the process after 1,000 and after 20,000 requests.
- Start: from the command to its first request, with a million answers in the store and ten missing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"

from teacher_server import MODEL, TeacherServer

from cot_distill_datasets.names import FORMATS, GRANULARITIES, ConfigName
from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources.generated import ANSWERS
from cot_distill_datasets.teachers.annotate import Settings, annotate
from cot_distill_datasets.teachers.requests import Completion, Plan, Question, load_questions


LATENCY = 0.2  # seconds
TEXT = "2 + 2 = 4.\nThe answer is 4"
PARAMETERS = {"max_tokens": 1024, "temperature": 0.7}  # the command's own
MISSING = 10


def main() -> None:
    """Measure rate, memory and start, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000, help="in the store of the start")
    parser.add_argument(
        "--one", nargs=4, metavar=("URL", "FOLDER", "CONCURRENCY", "REQUESTS"), help="one run, as JSON"
    )
    options = parser.parse_args()
    if options.one:
        url, folder, *numbers = options.one
        _run(url, Path(folder), *map(int, numbers))
        return
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        build(Path("eit/cot-distill").absolute())
        with _served(LATENCY) as url:
            rates = [_measure(url, concurrency, concurrency * 30) for concurrency in (64, 512)]
        for concurrency, measured in zip((64, 512), rates):
            rate, ideal = measured["requests"] / measured["seconds"], concurrency / LATENCY
            print(f"concurrency {concurrency}: {rate:.0f} answers/s, {rate / ideal:.0%} of the ideal {ideal:.0f}")
        with _served(0.0) as url:
            few, many = (_measure(url, 64, requests)["megabytes"] for requests in (1_000, 20_000))
        print(f"peak memory: {few:.0f} MB after 1,000 requests, {many:.0f} MB after 20,000", flush=True)
        print(f"start with {options.answers:,} answers in the store: {_start(options.answers):.1f} s")


@contextmanager
def _served(latency: float) -> Iterator[str]:
    """Serve answers from another process, and yield its address."""
    command = [sys.executable, str(Path(__file__).parents[1] / "teacher_server.py"), str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout
        yield server.stdout.readline().strip()
        server.stdin.close()


def _measure(url: str, concurrency: int, requests: int) -> dict[str, float]:
    """Run in a process of its own, whose memory is only that of the run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", url, folder, str(concurrency), str(requests)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return dict(json.loads(ended.stdout))


def _run(url: str, folder: Path, concurrency: int, requests: int) -> None:
    plan = _plan(_questions()[: requests // 4], ["cot"], samples=1, levels=(1, 3, 5, 6))
    begin = time.perf_counter()
    annotate(folder / "store", plan, Settings(url, concurrency, gate=False))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "requests": plan.size, "megabytes": peak}))


def _questions() -> list[Question]:
    return load_questions(Path("eit/cot-distill"), "arith")


def _plan(questions: list[Question], formats: list[str], samples: int, levels: tuple[int, ...]) -> Plan:
    configs = tuple(ConfigName("replay", level, format_, "arith") for level in levels for format_ in formats)
    return Plan(MODEL, PARAMETERS, configs, {"arith": questions}, samples, conditioned=True)


def _start(answers: int) -> float:
    """Return the seconds from the command to its first request."""
    questions = _questions()
    per_sample = len(questions) * len(GRANULARITIES) * len(FORMATS)
    samples = -(-answers // per_sample)
    limit = max(len(questions) * answers // (per_sample * samples), 1)
    plan = _plan(questions[:limit], list(FORMATS), samples, GRANULARITIES)
    store = Path("annotations/replay")
    store.mkdir(parents=True)
    completion = Completion(TEXT * 10, "stop", None, 300, 100)  # about 1 KB a line
    with (store / ANSWERS).open("w", encoding="ascii") as file:
        for request in islice(plan.requests(), plan.size - MISSING):
            file.write(request.answer(completion, 0.5).line())
    with TeacherServer({"": TEXT}) as server:
        words = [
            "--teacher",
            "replay",
            "--model",
            MODEL,
            "--base-url",
            server.url,
            "--benchmark",
            "arith",
            "--no-gate",
        ]
        levels = [f"l{level}" for level in GRANULARITIES]
        scope = ["--granularity", *levels, "--format", *FORMATS, "--samples", str(samples), "--limit", str(limit)]
        command = [sys.executable, "-m", "cot_distill_datasets.cli", "annotate", *words, *scope]
        begin = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not server.moments and process.poll() is None:
                time.sleep(0.01)
            process.kill()  # grading a million answers, for the table at its end, takes minutes
        return server.moments[0][0] - begin


if __name__ == "__main__":
    main()

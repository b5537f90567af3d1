"""What a study costs beside training and answering, and how well it keeps its workers busy.

    make bench
    .venv/bin/python tests/bench/bench_studies.py --steps 100

`cot-distill study run` trains the demo student on four configs of `arith` with four seeds, and asks each student and
the untrained base 200 questions with `hf`. Every cell has one thread, so two run at once on two cores.

- Process time: the lifetimes of the training processes, and of the workers that evaluate from the start of their task.
- Overhead of a cell: the process time without the seconds of training steps (`train_seconds` in `provenance.json`) and
  of generating answers, in seconds, divided by the number of trained cells.
- Wall time: from the first submission to the end of the command. The ratio compares it with the process time divided
  by the workers. It includes the starts of the workers, and the end, when fewer cells than workers are left.

The plan and the start of Ray are before the first submission, and are printed separately. Processes are looked at
every 0.2 seconds; their ends are no more exact.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from cot_distill_datasets.names import RELEASE_NAME
from cot_distill_datasets.release.build import build


WORKERS = 2
INTERVAL = 0.2  # seconds
STUDY = {
    "students": ["demo"],
    "configs": ["oracle-l1-arith", "oracle-l3-arith", "oracle-l6-arith"],  # and `answer-arith`, in every study
    "seeds": [1, 2, 3, 4],
    "test_questions": 200,
    "backend": "hf",
    "threads": 1,
}
COMMAND = [sys.executable, "-m", "cot_distill_datasets.cli", "study", "run", "bench.yaml", "--out", "out"]


@dataclass
class Watch:
    """What was seen of a study. Moments are seconds since the start of its command.

    `seconds` has the process time of each kind of task, `lines` what was printed.
    """

    start: float
    seconds: Counter[str] = field(default_factory=Counter)
    lines: list[tuple[float, Path, str]] = field(default_factory=list)
    positions: dict[Path, int] = field(default_factory=dict)
    seen: dict[tuple[int, str], float] = field(default_factory=dict)  # by process and kind: the last moment
    first: float = math.inf  # the start of the first process
    last: float = 0.0  # the last look
    end: float = 0.0

    def look(self, driver: psutil.Process, logs: list[Path]) -> None:
        """Note the driver's processes and the new lines of the logs."""
        before, self.last = self.last, time.time() - self.start
        for log in logs:
            with log.open(encoding="utf-8") as file:
                file.seek(self.positions.get(log, 0))
                self.lines += [(self.last, log, line) for line in file.read().splitlines()]
                self.positions[log] = file.tell()
        for process, kind in _tasks(driver):
            begin = self.seen.get((process.pid, kind), -1.0)
            if begin < before:  # a worker that evaluates again has rested since
                begin = process.create_time() - self.start if kind == "training" else self.last
            self.seconds[kind] += self.last - begin
            self.seen[process.pid, kind], self.first = self.last, min(self.first, begin)

    def moments(self, text: str) -> list[tuple[Path, float]]:
        """Return when the lines with a text were printed, by file and time."""
        return sorted((log, moment) for moment, log, line in self.lines if text in line)


def _tasks(driver: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    """Yield the processes of a driver that train or evaluate now. Ray names a worker by its task."""
    for process in driver.children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.Error:  # it has ended
            continue
        if any(part.endswith("sft.py") for part in command):
            yield process, "training"
        elif command and command[0] == "ray::evaluate":
            yield process, "evaluation"


def main() -> None:
    """Run the study, and print its seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / RELEASE_NAME)
        (folder / "bench.yaml").write_text(yaml.safe_dump(STUDY | {"max_steps": steps}))
        begin = time.time()
        subprocess.run([*COMMAND, "--dry-run"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        print(f"plan: {time.time() - begin:.1f} s", flush=True)
        _print(_watch(folder), folder)


def _watch(folder: Path) -> Watch:
    errors = folder / "errors.log"
    # Ray's logs are below RAY_TMPDIR; a compiled library is read faster than it is compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"RAY_TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with errors.open("w") as stderr:
        watch = Watch(time.time())
        driver = psutil.Popen(COMMAND, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
        while driver.poll() is None:
            watch.look(driver, [errors, *folder.glob("ray/session_2*/logs/worker-*.err")])
            time.sleep(INTERVAL)
    watch.end = time.time() - watch.start
    if driver.returncode:
        raise RuntimeError(errors.read_text()[-2000:])
    return watch


def _print(watch: Watch, folder: Path) -> None:
    provenances = [json.loads(path.read_text()) for path in folder.glob("runs/cells/*/provenance.json")]
    steps = sum(provenance["train_seconds"] for provenance in provenances)
    asked, answered = watch.moments("Answering"), watch.moments("Scoring")  # as `recorders.py` prints
    answers = sum(end - begin for (_, begin), (_, end) in zip(asked, answered, strict=True))
    ((_, submission),) = watch.moments("Missing: ")
    training, evaluation = watch.seconds["training"], watch.seconds["evaluation"]
    wall, share = watch.end - submission, (training + evaluation) / WORKERS
    cells = len(provenances)
    print(f"plan and start of Ray {submission:.1f} s, first process {watch.first - submission:.1f} s later")
    print(f"{cells} trained cells: training {training:.0f} s, of which steps {steps:.0f} s", end="; ")
    print(f"evaluation {evaluation:.0f} s, of which answers {answers:.0f} s")
    print(f"overhead a cell: {(training - steps + evaluation - answers) / cells:.1f} s", end="; ")
    print(f"of training {(training - steps) / cells:.1f} s, of evaluation {(evaluation - answers) / cells:.1f} s")
    print(f"wall time {wall:.0f} s, process time / workers {share:.0f} s, ratio {wall / share:.3f}")


if __name__ == "__main__":
    main()

"""What several test files share: folders, and small builders of provenances, releases and processes."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cot_distill_datasets.cli import main
from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.release.audit import release_hash
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.folder import SCHEMA
from cot_distill_datasets.schema import Row
from cot_distill_datasets.sources import arith
from cot_distill_datasets.training.models import write_untrained_demo


ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
TINY = {"max_steps": 4, "test_questions": 12}  # settings of a study that takes seconds


def make_provenance(**values: Any) -> Provenance:
    """Return a provenance of which only `values` matter."""
    defaults: dict[str, Any] = dict.fromkeys(("base_revision", "dataset_revision", "edition", "recipe", "lora"))
    defaults |= {
        "student": "demo",
        "base_model": "org/base",
        "base_is_on_hub": True,
        "dataset": "eit/cot-distill",
        "config": "answer-arith",
    }
    defaults |= {"data_files": {}, "train_examples": 1, "recipe_sha256": "1" * 64}
    defaults |= {"arguments": {}, "settings": {"effective_batch_size": 64}, "versions": {}}
    return Provenance(**defaults | values)


def build_questions(folder: Path, count: int) -> Path:
    """Write the release of `arith` with `count` training questions, and return the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", count)
        build(folder / "eit/cot-distill")
    return folder


def write_project(folder: Path, rows: int = arith.TRAIN_SIZE) -> Path:
    """Write the release of `arith` with `rows` training rows and the untrained demo student, and return the folder."""
    build_questions(folder, rows)
    write_untrained_demo(folder / "runs/demo/untrained")
    return folder


def run_on_full_disk(*arguments: str, limit: int, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python where no file may grow beyond `limit` bytes, which a writer cannot tell from a full disk.

    -B: the limit would truncate bytecode too, of modules that every later process imports.
    """
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        **options,
    )


class CommandForks:
    """A process that runs a `cot-distill` command in a fork of itself at each start, so that imports take no time."""

    CODE = (
        "import os, sys, time; from cot_distill_datasets.cli import main\n"
        "from cot_distill_datasets.reports import publish_student\n"
        "wait = time.sleep; time.sleep = lambda seconds: wait(seconds / 100)\n"
        "for line in sys.stdin:\n"
        "    if child := os.fork(): print(child, flush=True); print(os.waitpid(child, 0)[1], flush=True)\n"
        "    else: os.dup2(2, 1); os._exit(main(sys.argv[1:]))"
    )

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-c", self.CODE, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def __enter__(self) -> "CommandForks":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def start(self) -> int:
        """Start the command and return its process."""
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """Return the status of the process, 0 if it succeeded."""
        return int(self.process.stdout.readline())


def parse_cells(table: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (kind, left, right) for each line `left | right` of each kind of answer; ∅ is empty, ⏎ a line break."""
    rows = [(kind, *line.strip().split(" | ")) for kind, lines in table.items() for line in lines.strip().splitlines()]
    return [(kind, left.replace("∅", "").replace("⏎", "\n"), right.replace("∅", "")) for kind, left, right in rows]


def copy_upstream(upstream: Path, folder: Path, *names: str) -> Path:
    """Copy the entries `names` of the manifest with the files that exist, and the release's test splits."""
    data = folder / "data"
    data.mkdir(parents=True)
    manifest = json.loads((upstream / "data/dataset_info.json").read_bytes())
    (data / "dataset_info.json").write_text(json.dumps({name: manifest[name] for name in names}))
    for file in {manifest[name]["file_name"] for name in names}:
        if (upstream / "data" / file).is_file():
            (data / file).write_bytes((upstream / "data" / file).read_bytes())
    tests = "Evaluation/reasoning_eval"
    (folder / tests).mkdir(parents=True)
    for path in (upstream / tests).iterdir():
        (folder / tests / path.name).write_bytes(path.read_bytes())
    return folder


def run_build(out: Path, upstream: Path, benchmarks: Path, *more: str) -> int:
    """Run `cot-distill build` and return its exit code."""
    return main(["build", "--upstream", str(upstream), "--benchmarks", str(benchmarks), "--out", str(out), *more])


def alter_rows(release: Path, config: str, change: Callable[[list[Row]], None]) -> None:
    """Change the rows of a config, and rename its file by its new content, so that only the rows are wrong."""
    (path,) = (release / "data" / config).iterdir()
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    renamed = path.rename(path.with_name(f"train-{sha256(path.read_bytes()).hexdigest()[:16]}.parquet"))
    index = release / "release.json"
    index.write_text(index.read_text().replace(path.name, renamed.name))


def change_index(folder: Path, **values: str) -> Path:
    """Set `values` in `release.json`, remove deleted configs from it, and mark the result as audited."""
    index, report = (json.loads((folder / name).read_text()) for name in ("release.json", "audit.json"))
    index["configs"] = [stats for stats in index["configs"] if (folder / stats["file"]).is_file()]
    (folder / "release.json").write_text(json.dumps(index | values))
    (folder / "audit.json").write_text(json.dumps(report | {"release": release_hash(folder)}))
    return folder


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder that have an extension, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def own_rows(path: str | Path, numbers: Iterable[int], words: int = 2) -> str:
    """Write questions and answers of a user's own, one for each number, and return the path."""
    rows = (
        {
            "question": f"A shop has {n} {'red ' * (n % 3)}pens and sells {n // 2}. How many are left?",
            "answer": f"{n} - {n // 2} = {n - n // 2}{' which are left' * words}.\n#### {n - n // 2}",
        }
        for n in numbers
    )
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def read_config(release: Path, config: str) -> list[Row]:
    """Return the rows of a config of a release."""
    (path,) = (release / "data" / config).iterdir()
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows

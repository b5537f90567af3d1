"""The cost of building and reading a release, as ratios within one run (`make bench`).

The baseline parses the paper's files and writes them with `datasets`. Each measurement runs in its own process: its
time is the wall time after the imports, its memory the peak that the kernel counted. Builds contain few rows of
`arith`, which is generated and not in a file. Needs the original files in `../shared`; takes three minutes.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path


SHARED = Path(__file__).parents[3] / "shared"
DATA = SHARED / "upstream/data"
REPEATS = 3  # of the ratio; the median is printed

PARSE_AND_WRITE = """
import json, sys, time
from datasets import Dataset
start = time.perf_counter()
for entry in json.load(open(f"{sys.argv[1]}/dataset_info.json")).values():
    try:
        rows = json.load(open(f"{sys.argv[1]}/{entry['file_name']}", "rb"))
    except FileNotFoundError:
        continue
    names = sorted(set().union(*rows))
    table = Dataset.from_list([{name: row.get(name) for name in names} for row in rows])
    table.to_parquet(f"{sys.argv[2]}/{entry['file_name']}.parquet")
print(time.perf_counter() - start)
"""
BUILD = """
import sys, time
from pathlib import Path
from cot_distill_datasets.release.build import build
from cot_distill_datasets.sources import arith
arith.TRAIN_SIZE = 20
start = time.perf_counter()
build(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
print(time.perf_counter() - start)
"""
READ = """
import sys, time
from datasets import get_dataset_config_names, load_dataset
start = time.perf_counter()
names = get_dataset_config_names(sys.argv[1])
listed = time.perf_counter()
load_dataset(sys.argv[1], "gpt4o-fine-svamp", split="train", cache_dir=sys.argv[2])
print(len(names), listed - start, time.perf_counter() - listed)
"""


def main() -> None:
    """Print each measurement when it is finished."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    rows = sum(len(json.loads(path.read_bytes())) for path in _files())
    with tempfile.TemporaryDirectory() as folder:
        _compare_with_baseline(Path(folder), rows)
        _build_by_size(Path(folder))
        _read(Path(folder))


def _compare_with_baseline(folder: Path, rows: int) -> None:
    ratios = []
    for _ in range(REPEATS):
        (folder / "written").mkdir(exist_ok=True)
        baseline, _ = _measure(PARSE_AND_WRITE, DATA, folder / "written")
        seconds, memory = _measure(BUILD, folder / "release", SHARED / "upstream", SHARED / "benchmarks")
        ratios.append(seconds / baseline)
        print(f"parse and write {baseline:.1f} s; build {seconds:.1f} s and {memory:.2f} GB: {ratios[-1]:.1f} times")
    print(f"build / parse and write, {rows:,} rows: {sorted(ratios)[REPEATS // 2]:.1f} (median)")


def _build_by_size(folder: Path) -> None:
    """Build from a part of each file, or from several copies of each file's rows."""
    for size in (50_000, 200_000, 1_000_000):
        rows = _resize(folder / "upstream", size)
        seconds, memory = _measure(BUILD, folder / "sized", folder / "upstream", SHARED / "benchmarks")
        print(f"{rows:>9,} rows: {seconds:.1f} s, {1e6 * seconds / rows:.0f} µs per row, {memory:.2f} GB")


def _resize(upstream: Path, size: int) -> int:
    files = _files()
    contents = {path: json.loads(path.read_bytes()) for path in files}
    factor = size / sum(len(contents[path]) for path in files)
    (upstream / "data").mkdir(parents=True, exist_ok=True)
    (upstream / "data/dataset_info.json").write_bytes((DATA / "dataset_info.json").read_bytes())
    if not (upstream / "Evaluation").exists():
        (upstream / "Evaluation").symlink_to(SHARED / "upstream/Evaluation")
    resized = {}
    for path, rows in contents.items():
        copies, part = int(factor), round(len(rows) * (factor % 1))
        resized[path] = rows * copies + rows[:part]
        (upstream / "data" / path.name).write_text(json.dumps(resized[path]))
    return sum(len(resized[path]) for path in files)


def _files() -> list[Path]:
    """Return the manifest's files that exist; a file with two entries is listed twice."""
    manifest = json.loads((DATA / "dataset_info.json").read_bytes())
    paths = [DATA / entry["file_name"] for entry in manifest.values()]
    return [path for path in paths if path.is_file()]


def _read(folder: Path) -> None:
    command = [sys.executable, "-c", READ, str(folder / "release"), str(folder / "cache")]
    names, listing, loading = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    print(
        f"listing {names} configs {float(listing):.2f} s; one cold load_dataset {float(loading):.2f} s, after imports"
    )


def _measure(code: str, *args: object) -> tuple[float, float]:
    """Run `code` in its own process; return the seconds that it prints and its peak memory in GB."""
    environment = {**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        seconds = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the measured process failed: {process.args!r}")
    return float(seconds), usage.ru_maxrss / 1e6


if __name__ == "__main__":
    main()

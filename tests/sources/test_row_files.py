"""Files of any size are read one row at a time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.sources import records
from cot_distill_datasets.sources.records import BrokenRow, stream_json


BUILD = """
import resource, sys
from cot_distill_datasets.cli import main
from cot_distill_datasets.sources import arith
arith.TRAIN_SIZE = 20
source = ["--rows", sys.argv[1], "--teacher", "qwen3", "--granularity", "l3", "--answer-kind", "number"]
assert main(["build", *source, "--benchmark", "big", "--out", sys.argv[1] + ".release"]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def _rows(count: int) -> Iterator[dict[str, Any]]:
    for n in range(count):
        text = f"{n} + {n} = {2 * n} and nothing else is {n}. " * 300
        turns = [{"role": "user", "content": f"{n} and {n}?"}, {"role": "assistant", "content": f"{text}#### {2 * n}"}]
        yield {"messages": turns}


@pytest.mark.slow
def test_the_memory_of_a_build_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []  # MiB
    for megabytes in (20, 80):
        path = tmp_path / f"{megabytes}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for row in _rows(10**9):
                file.write(f"{json.dumps(row)}\n")
                if file.tell() > megabytes << 20:
                    break
        command = [sys.executable, "-c", BUILD, str(path)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        peaks.append(int(process.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 30


@pytest.mark.parametrize("part", [7, 100, 1 << 20])
def test_a_list_is_read_in_parts_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(records, "_PART", part)
    rows = [{"a": n, "text": 'a "quoted" ] [ { } \u2028 , \\ é' * (n % 3)} for n in range(40)]
    for indent in (None, 1):
        (tmp_path / "list.json").write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8-sig")
        assert list(stream_json(tmp_path / "list.json")) == rows
    (tmp_path / "lines.jsonl").write_text("".join(f"{json.dumps(row)}\n\n" for row in rows))
    assert list(stream_json(tmp_path / "lines.jsonl")) == rows
    (tmp_path / "empty.json").write_text(" [ ] ")
    assert list(stream_json(tmp_path / "empty.json")) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[{"a": 1}, {"a": ', "row 1 is not JSON"),
        ('[{"a": 1}, {"a": nothing}]', "row 1 is not JSON"),
        ('[{"a": 1}', "row 1 is not JSON"),
        ('[{"a": 1}] [{"a": 2}]', "text behind the list"),
        ("[" * 100_000, "row 0 is not JSON"),
    ],
)
def test_a_broken_list_is_an_error_that_names_the_row(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(CotDistillError, match=f"rows.json: .*{named}"):
        list(stream_json(tmp_path / "rows.json"))


def test_a_broken_line_takes_no_other_line_with_it(tmp_path: Path) -> None:
    lines = [b'{"a": 1}', b'{"a": ', b"\xff\xfe", b"[" * 100_000, b'{"a": 2}']
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    first, *broken, last = stream_json(tmp_path / "rows.jsonl")
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert [type(row) for row in broken] == [BrokenRow] * 3

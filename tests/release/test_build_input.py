"""A build names each bad input with its file and row, skips it, and writes the rest; a wrong folder stops it."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import copy_upstream, run_build

from cot_distill_datasets.cli import main
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.folder import Release, read_release


FILE = "SVAMP_ChatGPT_level1_ranked.json"  # of the config gpt4o-l1-svamp
BAD_FILES = {
    "truncated JSON": (b'[{"instruction": "2 pens?", "outp', []),
    "not JSON": (b"not json", []),
    "not UTF-8": (b"\xff\xfe\x00", []),
    "Windows-1252": ('[{"instruction": "2 €?", "output": "2"}]'.encode("cp1252"), ["utf-8"]),
    "deeply nested": (b"[" * 100_000, []),
    "not a list": (b'{\n"a": 1}', ["list"]),
    "row is a number": (b'[{"instruction": "2?", "output": "2"}, 7]', ["row 1", "object"]),
    "response is null": (b'[{"instruction": "2?", "output": null}]', ["row 0", "null", "'output'", "text"]),
    "response is a number": (b'[{"instruction": "2?", "output": 2}]', ["row 0", "2", "'output'", "text"]),
    "response is NaN": (b'[{"instruction": "2?", "output": NaN}]', ["row 0", "nan", "'output'", "text"]),
    "question is a list": (b'[{"instruction": ["2?"], "output": "2"}]', ["row 0", "'instruction'", "text"]),
    "another column": (b'[{"instruction": "2?", "outputs": "2"}]', ["row 0", "'output'", "`outputs`"]),
    "a column that is a lone surrogate": (b'[{"\\ud800": "2?", "output": "2"}]', ["row 0", "'instruction'"]),
    "question has a lone surrogate": (
        b'[{"instruction": "2 \\udfff?", "output": "2"}]',
        ["row 0", "surrogate", "'instruction'"],
    ),
    "a broken line": (b'{"instruction": "2 pens?", "output": "2"}\n{"instruction": ', ["row 1", "JSON Lines"]),
    "question is empty": (b'[{"instruction": "  ", "output": "2"}]', ["row 0", "question"]),
    "repeated key": (b'[{"instruction": "2?", "output": "2", "output": "3"}]', ["row 0", "key"]),
    "lone surrogate": (b'[{"instruction": "2?", "output": "\\ud800 The answer is 2"}]', ["row 0", "surrogate"]),
    "response is too long": (
        b'[{"instruction": "2?", "output": "' + b"2" * 50_000_000 + b'"}]',
        ["row 0", "'output'", "50,000,000", "100,000"],
    ),
}


def _release(folder: Path) -> Release:
    release = read_release(folder)
    assert release is not None
    return release


@pytest.mark.parametrize(("content", "named"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_and_the_rest_is_built(
    tmp_path: Path,
    small_upstream: Path,
    stand_in_benchmarks: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    named: list[str],
) -> None:
    (small_upstream / "data" / FILE).write_bytes(content)
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    error = capsys.readouterr().err
    assert [datum for datum in [f"gpt4o-l1-svamp: {FILE}", *named] if datum not in error] == []
    release = _release(tmp_path / "out")
    assert {"gpt4o-l2-svamp", "answer-svamp", "oracle-l3-arith"} <= {config.name for config in release.configs}
    assert list(release.left_out) == ["gpt4o-l1-svamp"]
    assert not (tmp_path / "out/data/gpt4o-l1-svamp").exists()


@pytest.mark.parametrize("layout", ["JSON Lines", "JSON Lines with a BOM and an empty line", "Parquet"])
def test_a_file_in_another_layout_gives_the_same_rows(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, layout: str
) -> None:
    data = small_upstream / "data"
    build(tmp_path / "list", small_upstream, stand_in_benchmarks)
    rows = json.loads((data / FILE).read_bytes())
    if layout == "Parquet":
        name = "level1.parquet"
        pq.write_table(pa.Table.from_pylist(rows), data / name)
        manifest = data / "dataset_info.json"
        manifest.write_text(manifest.read_text().replace(FILE, name))
    else:
        name, is_edited = FILE, "BOM" in layout
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n" * is_edited
        (data / FILE).write_text(lines, encoding="utf-8-sig" if is_edited else "utf-8")
    build(tmp_path / "other", small_upstream, stand_in_benchmarks)
    folders = (tmp_path / out / "data/gpt4o-l1-svamp" for out in ("list", "other"))
    first, second = (pq.read_table(next(folder.iterdir())).to_pylist() for folder in folders)
    assert len(first) > 0
    assert second == [row | {"source": row["source"].replace(FILE, name)} for row in first]


@pytest.mark.parametrize("solution", ["12", '["\\\\boxed{4}"]', '{"text": "4"}', '"\\ud800"', "true"])
def test_a_solution_that_is_no_text_is_named_and_the_rest_is_built(
    tmp_path: Path,
    stand_in: Path,
    stand_in_benchmarks: Path,
    few_problems: None,
    capsys: pytest.CaptureFixture[str],
    solution: str,
) -> None:
    upstream = copy_upstream(stand_in, tmp_path / "upstream", "math_onlyans", "math_human", "SVAMP_ChatGPT_level1")
    path = upstream / "data/math_human.json"
    rows = json.loads(path.read_bytes())
    path.write_text(json.dumps(rows[:1])[:-1] + f', {{"problem": "2?", "output": "4", "solution": {solution}}}]')
    assert run_build(tmp_path / "out", upstream, stand_in_benchmarks) == 1
    error = capsys.readouterr().err
    assert [datum for datum in ("math_human.json: row 1", "'solution'") if datum not in error] == []
    release = _release(tmp_path / "out")
    assert "gpt4o-l1-svamp" in {stats.name for stats in release.configs}
    assert release.left_out.keys() == {"answer-math", "human-math"}


@pytest.mark.parametrize(
    ("split", "file", "row"),
    [
        ("gsm8k", "gsm8k/test.jsonl", {"question": "2 \ud800?", "answer": "#### 2"}),
        ("aqua", "aqua/test.json", {"question": "2?", "options": ["A)2", "B)\ud800"], "correct": "A"}),
        ("math", "math_full/test.jsonl", {"problem": "2?", "type": "Algebra", "solution": 2}),
        ("math500", "math500/test.jsonl", {"problem": "2?", "solution": ["2"]}),
        ("math500", "math500/test.jsonl", {"problem": "2?", "answer": {"text": "2"}, "solution": "2"}),
    ],
    ids=["surrogate in the question", "surrogate in an option", "number", "list", "object"],
)
def test_a_broken_test_question_is_named_and_the_rest_is_built(
    tmp_path: Path,
    small_upstream: Path,
    stand_in_benchmarks: Path,
    capsys: pytest.CaptureFixture[str],
    split: str,
    file: str,
    row: dict[str, object],
) -> None:
    benchmarks = Path(shutil.copytree(stand_in_benchmarks, tmp_path / "benchmarks"))
    (benchmarks / file).write_text(json.dumps([row]))
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 1
    assert f"skipped: eval-{split}: {file}: row 0 " in capsys.readouterr().err
    release = _release(tmp_path / "out")
    assert list(release.left_out) == [f"eval-{split}"]
    assert "gpt4o-l1-svamp" in {stats.name for stats in release.configs}
    assert run_build(tmp_path / "strict", small_upstream, benchmarks, "--strict") == 2


@pytest.mark.parametrize("change", ['"file_name": "SVAMP', '"response": "'], ids=["file", "column"])
def test_a_lone_surrogate_in_the_manifest_is_named_and_the_rest_is_built(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    manifest = small_upstream / "data/dataset_info.json"
    entries = manifest.read_text()
    key = '"SVAMP_ChatGPT_level1"'
    before, entry = entries.split(key)
    manifest.write_text(before + key + entry.replace(change, change + "\\udc80", 1))
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    error = capsys.readouterr().err
    assert [datum for datum in ("'SVAMP_ChatGPT_level1'", "surrogate") if datum not in error] == []
    assert list(_release(tmp_path / "out").left_out) == ["SVAMP_ChatGPT_level1"]


def test_a_config_without_rows_is_skipped(tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path) -> None:
    (small_upstream / "data" / FILE).write_text("[]")
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    assert list(_release(tmp_path / "out").left_out) == ["gpt4o-l1-svamp"]


@pytest.mark.parametrize(
    "response", ["", " The answer is <answer>"]
)  # the second one is in three files of the release
def test_a_response_without_text_is_dropped_where_it_would_be_the_completion(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, response: str
) -> None:
    path = small_upstream / "data" / FILE
    rows = json.loads(path.read_bytes())
    path.write_text(json.dumps([rows[0] | {"output": response}, *rows]))
    release = build(tmp_path / "out", small_upstream, stand_in_benchmarks, edition="paper")
    (stats,) = [config for config in release.configs if config.name == "gpt4o-l1-svamp"]
    assert (stats.rows_in, stats.rows, stats.dropped) == (4, 3, {"empty": 1})


def test_a_broken_gold_file_skips_every_config_of_its_benchmark(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path
) -> None:
    """Without the golds, rows that contradict them cannot be detected."""
    (small_upstream / "data/SVAMP_only_ans.json").write_text("[1]")
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    skipped = _release(tmp_path / "out").left_out
    assert skipped.keys() == {"answer-svamp", "gpt4o-l1-svamp", "gpt4o-l2-svamp"}
    assert all("SVAMP_only_ans.json: row 0" in reason for reason in skipped.values())


def test_a_file_outside_the_data_folder_is_named_and_not_read(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small_upstream / "data/dataset_info.json"
    manifest.write_text(manifest.read_text().replace(FILE, "../../secret.json"))
    (tmp_path / "secret.json").write_text('[{"instruction": "2?", "output": "The answer is 2"}]')
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    assert "gpt4o-l1-svamp: ../../secret.json" in capsys.readouterr().err
    assert list(_release(tmp_path / "out").left_out) == ["gpt4o-l1-svamp"]


def test_a_manifest_entry_with_an_unknown_or_repeated_name_is_skipped(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small_upstream / "data/dataset_info.json"
    entries = json.loads(manifest.read_bytes())
    entries |= {"dolly_level1": entries["SVAMP_ChatGPT_level1"], "svamp_gpt4": entries["SVAMP_ChatGPT_level1"]}
    entries["svamp_chatgpt_level1_again"] = {"file_name": "a\0b.json", "columns": {"prompt": "q", "response": "a"}}
    manifest.write_text(json.dumps(entries))
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    skipped = _release(tmp_path / "out").left_out
    expected = {"dolly_level1": "benchmark", "svamp_gpt4": "teacher", "svamp_chatgpt_level1_again": "gpt4o-l1-svamp"}
    assert {name: datum for name, datum in expected.items() if datum in skipped[name]} == expected
    error = capsys.readouterr().err
    assert all(f"{name}: {reason}" in error for name, reason in skipped.items())
    assert (tmp_path / "out/data/gpt4o-l1-svamp").is_dir()


def test_a_broken_manifest_stops_the_build(
    tmp_path: Path, few_problems: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset_info.json").write_text("[]")
    assert main(["build", "--upstream", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "dataset_info.json") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--upstream", "nowhere"], "nowhere"),
        (["--benchmarks", "nowhere"], "nowhere"),
        (["--out", "occupied"], "/occupied "),
        (["--out", "occupied/thesis.txt/x"], "/occupied/thesis.txt"),
        (["--out", "."], "--out"),
    ],
)
def test_a_wrong_folder_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied/thesis.txt").write_text("years of work")
    assert main(["build", *args]) == 2
    assert named in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.*")] == ["thesis.txt"]


def test_another_edition_never_replaces_a_release(
    tmp_path: Path, few_problems: None, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path / "release")
    before = (tmp_path / "release/release.json").read_bytes()
    assert main(["build", "--edition", "paper", "--out", str(tmp_path / "release")]) == 2
    error = capsys.readouterr().err
    assert [datum for datum in ("`clean`", "`paper`", "--out") if datum not in error] == []
    assert (tmp_path / "release/release.json").read_bytes() == before


def test_a_clone_gives_the_same_release_as_a_checkout(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path
) -> None:
    git = ["git", "-C", str(small_upstream), "-c", "user.name=x", "-c", "user.email=x@y"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "Release"]):
        subprocess.run([*git, *args], check=True)
    build(tmp_path / "cloned", f"file://{small_upstream}", stand_in_benchmarks)
    build(tmp_path / "local", small_upstream, stand_in_benchmarks)
    assert (tmp_path / "cloned/release.json").read_bytes() == (tmp_path / "local/release.json").read_bytes()

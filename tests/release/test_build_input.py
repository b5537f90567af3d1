"""A build names each bad input with its file and row, skips it, and writes the rest; a wrong folder stops it."""

import json
import subprocess
from pathlib import Path

import pytest
from support import run_build

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
    "not a list": (b'{"a": 1}', ["list"]),
    "row is a number": (b'[{"instruction": "2?", "output": "2"}, 7]', ["row 1"]),
    "response is null": (b'[{"instruction": "2?", "output": null}]', ["row 0", "'output'"]),
    "response is a number": (b'[{"instruction": "2?", "output": 2}]', ["row 0", "'output'"]),
    "response is NaN": (b'[{"instruction": "2?", "output": NaN}]', ["row 0", "'output'"]),
    "question is a list": (b'[{"instruction": ["2?"], "output": "2"}]', ["row 0", "'instruction'"]),
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


def test_a_config_without_rows_is_skipped(tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path) -> None:
    (small_upstream / "data" / FILE).write_text("[]")
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 1
    assert list(_release(tmp_path / "out").left_out) == ["gpt4o-l1-svamp"]


def test_an_empty_response_is_dropped(tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path) -> None:
    path = small_upstream / "data" / FILE
    path.write_text(json.dumps([{"instruction": "2 pens?", "output": ""}, *json.loads(path.read_bytes())]))
    release = build(tmp_path / "out", small_upstream, stand_in_benchmarks)
    (stats,) = [config for config in release.configs if config.name == "gpt4o-l1-svamp"]
    assert (stats.rows_in, stats.dropped["empty"]) == (4, 1)


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

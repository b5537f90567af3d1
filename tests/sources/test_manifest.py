"""Where the paper's release is read from, and the entries of its manifest; names of configs: `test_upstream.py`."""

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from cot_distill_datasets import ConfigName, CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.sources import manifest
from cot_distill_datasets.sources.manifest import (
    Entry,
    clone_or_open,
    data_folder,
    data_path,
    parse_manifest_name,
    read_manifest,
)


COLUMNS = {"prompt": "instruction", "response": "output"}


def _write_manifest(folder: Path, entries: object) -> Path:
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    return folder


def test_entries_are_sorted_by_config_and_keep_their_file_and_columns(tmp_path: Path) -> None:
    names = {"SVAMP_human": "h.json", "SVAMP_ChatGPT_level1": "1.json"}
    _write_manifest(tmp_path, {name: {"file_name": file, "columns": COLUMNS} for name, file in names.items()})
    assert read_manifest(tmp_path) == (
        [
            Entry(ConfigName.parse("gpt4o-l1-svamp"), "1.json", "instruction", "output"),
            Entry(ConfigName.parse("human-svamp"), "h.json", "instruction", "output"),
        ],
        {},
    )


@pytest.mark.parametrize(
    ("name", "part"), [("dolly_level1", "benchmark"), ("svamp_gpt4", "teacher"), ("SVAMP_human_2", "human-svamp")]
)
def test_an_unreadable_entry_is_returned_with_the_reason(tmp_path: Path, name: str, part: str) -> None:
    entry = {"file_name": "x.json", "columns": COLUMNS}
    entries, unreadable = read_manifest(_write_manifest(tmp_path, {"SVAMP_human": entry, name: entry}))
    assert [str(entry.config) for entry in entries] == ["human-svamp"]
    assert unreadable.keys() == {name}
    assert repr(name) in unreadable[name] and part in unreadable[name]


@pytest.mark.parametrize("manifest", ["", "[]", "[1]", "7"])
def test_a_broken_manifest_is_an_error_that_names_the_file(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "dataset_info.json").write_text(manifest)
    with pytest.raises(CotDistillError, match=str(tmp_path / "dataset_info.json")):
        read_manifest(tmp_path)


def test_the_manifest_is_in_the_folder_or_its_data(tmp_path: Path) -> None:
    with pytest.raises(CotDistillError, match=str(tmp_path)):
        data_folder(tmp_path)
    (tmp_path / "data").mkdir()
    _write_manifest(tmp_path / "data", {})
    assert data_folder(tmp_path) == data_folder(tmp_path / "data") == tmp_path / "data"


def test_a_file_outside_the_data_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    config = ConfigName.parse("human-svamp")
    assert data_path(Entry(config, "a\0b.json", "q", "a"), tmp_path) == tmp_path.resolve() / "ab.json"
    for file in ("../secret.json", "/etc/passwd"):
        with pytest.raises(CotDistillError, match=file):
            data_path(Entry(config, file, "q", "a"), tmp_path)


def test_a_folder_is_opened_and_a_url_is_cloned_for_the_time_of_the_block(tmp_path: Path) -> None:
    (tmp_path / "upstream").mkdir()
    _write_manifest(tmp_path / "upstream", {})
    git = ["git", "-C", str(tmp_path / "upstream"), "-c", "user.name=x", "-c", "user.email=x@y"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "Release"]):
        subprocess.run([*git, *args], check=True)
    with clone_or_open(str(tmp_path / "upstream")) as folder:
        assert folder == tmp_path / "upstream"
    with clone_or_open(f"file://{tmp_path / 'upstream'}") as clone:
        assert read_manifest(clone) == ([], {})
    assert not clone.exists() and folder.exists()


@pytest.mark.parametrize("url", ["file:///nowhere/at/all", "ext::sh -c touch% pwned"])
def test_a_url_that_cannot_be_cloned_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["build", "--upstream", url, "--out", "out"]) == 2
    assert url in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_named_in_seconds_and_git_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manifest, "_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and says nothing, not even in TLS
        url = f"https://127.0.0.1:{server.getsockname()[1]}/release.git"
        started = time.monotonic()
        assert main(["build", "--upstream", url, "--out", str(tmp_path / "out")]) == 2
        assert time.monotonic() - started < 10
        assert f"{url}: the server does not answer" in capsys.readouterr().err
        processes = subprocess.run(["ps", "-eo", "args"], text=True, capture_output=True, check=True).stdout
        assert url not in processes
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_while_git_clones_is_named_in_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(manifest, "_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/release.git"
        with pytest.raises(CotDistillError, match=f"{url}.*too slow"):  # without TLS: git's limit
            manifest._git("clone", url, str(tmp_path / "clone"))


def test_the_output_never_contains_the_credentials_of_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://me:hf_MustNeverBeSeen@127.0.0.1:9/release.git"
    assert main(["build", "--upstream", url, "--out", str(tmp_path / "out")]) == 2
    output = capsys.readouterr()
    assert "https://127.0.0.1:9/release.git" in output.err
    assert "MustNeverBeSeen" not in output.out + output.err


@pytest.mark.parametrize(
    ("description", "fact"),
    [
        ({"file_name": "x.json"}, "columns"),
        ({"file_name": "x.json", "columns": []}, "columns"),
        ({"file_name": "x.json", "columns": {"messages": "conversations"}}, "'messages'"),
        ({"file_name": "x.json", "columns": COLUMNS | {"query": "input"}}, "'query'"),
        ({"file_name": "x.json", "columns": COLUMNS, "formatting": "sharegpt"}, "'formatting'"),
        ({"file_name": "x.json", "columns": COLUMNS, "subset": "x"}, "'subset'"),
        ({"file_name": "x.json", "columns": COLUMNS | {"response": ["a"]}}, "`response`"),
        ({"file_name": 7, "columns": COLUMNS}, "`file_name`"),
        ([], "columns"),
        (1, "columns"),
    ],
)
def test_a_foreign_entry_is_skipped_by_name_and_the_others_are_read(
    tmp_path: Path, description: object, fact: str
) -> None:
    entry = {"file_name": "y.json", "columns": {"prompt": "instruction", "response": "output"}}
    manifest = {"SVAMP_human": description, "gsm8k_gemini_level1": entry}
    (tmp_path / "dataset_info.json").write_text(json.dumps(manifest))
    entries, unreadable = read_manifest(tmp_path)
    assert [str(entry.config) for entry in entries] == ["gemini-l1-gsm8k"]
    assert list(unreadable) == ["SVAMP_human"] and fact in unreadable["SVAMP_human"]


@pytest.mark.parametrize("name", ["gsm8k_llama4scout_level1", "gsm8k_deepseek_level1", "xgsm8k_gemini_level1"])
def test_a_teacher_or_benchmark_is_a_word_of_a_name_not_a_part_of_one(name: str) -> None:
    with pytest.raises(CotDistillError, match=rf"{name}.*unknown (teacher|benchmark)"):
        parse_manifest_name(name)

"""LLaMA-Factory's own loader reads an export's texts unchanged; an export replaces only an older export."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from support import ROOT

from cot_distill_datasets.benchmarks import EvalItem
from cot_distill_datasets.cli import main
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.config_files import write_config
from cot_distill_datasets.release.editions import DEFAULT_EDITION
from cot_distill_datasets.release.folder import ConfigStats, Release, write_index
from cot_distill_datasets.schema import ConfigRows, Row, cot_row, eval_row


TRAINING_FILE = """
model_name_or_path: meta-llama/Llama-3.2-1B
template: llama3
stage: sft
do_train: true
max_samples: 10000
output_dir: student
"""
QUESTIONS = ['Say "2 \\ 3"?\r\n\tand\u2028more\x00 ', "2024-01-01", "多少 😀 é e\u0301 <b>{x}</b>\n\n### Response:\n"]


def _write(name: str, split: str, rows: list[Row], folder: Path) -> ConfigStats:
    return write_config(name, split, ConfigRows(rows, len(rows), {}), folder)


@pytest.fixture
def odd_release(tmp_path: Path) -> Path:
    """A release of three configs and a test split, whose texts have characters that a file format may change."""
    folder, configs = tmp_path / "odd", []
    for name in ("gpt4o-l5-svamp", "gpt4o-l6-svamp", "answer-svamp"):
        config = ConfigName.parse(name)
        rationale = None if config.teacher == "answer" else " So:\r\n“4” \\n\u2028 "
        rows = [
            cot_row(config, question, [], "4", rationale=rationale, teacher_answer="4", source=f"odd#{index}")
            for index, question in enumerate(QUESTIONS)
        ]
        configs.append(_write(name, "train", [row for row in rows if row], folder))
    item = EvalItem("3 + 3?", [], "6", "odd/test#0")
    configs.append(_write("eval-svamp", "test", [eval_row("svamp", item)], folder))
    write_index(Release("0.1.0", DEFAULT_EDITION, "a parser", configs, [], {}, []), folder)
    return folder


@pytest.fixture
def arith_release(tmp_path: Path, few_problems: None) -> Path:
    """A built release of the embedded benchmark."""
    build(tmp_path / "arith")
    return tmp_path / "arith"


def _export(release: Path, out: Path, *more: str) -> int:
    return main(["export", str(release), "--to", "llamafactory", "--out", str(out), *more])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _rows(release: Path, config: str) -> Dataset:
    (file,) = (release / "data" / config).glob("train-*.parquet")
    return load_dataset("parquet", data_files=str(file), split="train")


def _load(dataset_dir: Path, names: list[str], folder: Path) -> dict[str, list[dict[str, object]]]:
    """Return the rows that LLaMA-Factory loads, on a CPU, by dataset."""
    (folder / "train.yaml").write_text(TRAINING_FILE)
    cpu = {"CUDA_VISIBLE_DEVICES": ""}  # with several visible GPUs, it requires torchrun
    arguments = [f"dataset_dir={dataset_dir}", f"dataset={','.join(names)}"]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tests/llamafactory_rows.py"), "train.yaml", *arguments],
        cwd=folder,
        env=os.environ | cpu | {"DISABLE_VERSION_CHECK": "1", "HF_DATASETS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("odd_release", ["gpt4o-l5-svamp", "gpt4o-fine-svamp", "gpt4o-l6-svamp", "answer-svamp"]),
        ("arith_release", ["oracle-l3-arith", "oracle-coarse-arith", "oracle-l5-symbolic-arith", "answer-arith"]),
        ("stand_in_release", ["gpt4o-fine-svamp", "gpt4o-l5-rar-svamp", "llama70b-l1-gsm8k", "human-svamp"]),
    ],
)
def test_llamafactory_loads_the_prompts_and_completions_byte_for_byte(
    tmp_path: Path, request: pytest.FixtureRequest, release: str, names: list[str]
) -> None:
    folder = request.getfixturevalue(release)
    assert _export(folder, tmp_path / "out") == 0
    loaded = _load(tmp_path / "out", names, tmp_path)
    assert list(loaded) == names
    for name, rows in loaded.items():
        expected = _rows(folder, str(ConfigName.parse(name)))
        assert [row["_prompt"] for row in rows] == expected["prompt"][:]
        assert [row["_response"] for row in rows] == expected["completion"][:]
        assert {(row["_system"], row["_tools"], row["_images"]) for row in rows} == {("", "", None)}


def test_every_training_config_and_its_alias_is_exported_and_no_test_split(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _export(odd_release, tmp_path / "out") == 0
    assert capsys.readouterr().out == "answer-svamp\t3\ngpt4o-l5-svamp\t3\ngpt4o-l6-svamp\t3\n"
    entries = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert {name: entry["file_name"] for name, entry in entries.items()} == {
        "answer-svamp": "answer-svamp.jsonl",
        "gpt4o-fine-svamp": "gpt4o-l5-svamp.jsonl",
        "gpt4o-l5-svamp": "gpt4o-l5-svamp.jsonl",
        "gpt4o-l6-svamp": "gpt4o-l6-svamp.jsonl",
    }
    assert set(_bytes(tmp_path / "out")) == {"dataset_info.json"} | {entry["file_name"] for entry in entries.values()}


def test_a_config_is_selected_by_its_name_or_its_alias(tmp_path: Path, odd_release: Path) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "gpt4o-fine-svamp", "gpt4o-l5-svamp") == 0
    entries = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert list(entries) == ["gpt4o-fine-svamp", "gpt4o-l5-svamp"]


@pytest.mark.parametrize(
    ("config", "nearest"), [("gpt4o-fein-svamp", "gpt4o-fine-svamp"), ("eval-svamp", "answer-svamp")]
)
def test_an_unknown_config_is_rejected_with_the_nearest(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], config: str, nearest: str
) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp", config) == 2
    assert f"{config!r}: use `{nearest}`" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["odd"]


def test_an_export_replaces_an_older_export_and_is_deterministic(tmp_path: Path, odd_release: Path) -> None:
    assert _export(odd_release, tmp_path / "all") == 0
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp") == 0
    assert set(_bytes(tmp_path / "out")) == {"dataset_info.json", "answer-svamp.jsonl"}
    assert _export(odd_release, tmp_path / "out") == 0
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "all")


def _a_release(release: Path, out: Path) -> None:
    shutil.copytree(release, out)


def _data_folder_of_llamafactory(_: Path, out: Path) -> None:
    out.mkdir()
    (out / "identity.jsonl").write_text("{}\n")
    (out / "dataset_info.json").write_text('{"identity": {"file_name": "identity.jsonl"}}')


def _export_with_a_student(release: Path, out: Path) -> None:
    _export(release, out)
    (out / "gpt4o-l5-svamp").mkdir()


def _export_with_another_entry(release: Path, out: Path) -> None:
    _export(release, out)
    info = json.loads((out / "dataset_info.json").read_text())
    (out / "dataset_info.json").write_text(json.dumps(info | {"mine": {"hf_hub_url": "me/mine"}}))


def _export_without_dataset_info(release: Path, out: Path) -> None:
    _export(release, out)
    (out / "dataset_info.json").unlink()


@pytest.mark.parametrize(
    "occupy",
    [
        _a_release,
        _data_folder_of_llamafactory,
        _export_with_a_student,
        _export_with_another_entry,
        _export_without_dataset_info,
    ],
)
def test_a_folder_that_is_not_an_export_is_never_replaced(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], occupy: Callable[[Path, Path], None]
) -> None:
    out = tmp_path / "out"
    occupy(odd_release, out)
    before = {path: path.stat() for path in [out, *out.rglob("*")]}
    assert _export(odd_release, out) == 2
    assert str(out) in capsys.readouterr().err.splitlines()[-1]
    assert {path: path.stat() for path in [out, *out.rglob("*")]} == before


def test_a_file_with_the_name_of_the_folder_is_never_replaced(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("years of work")
    assert _export(odd_release, tmp_path / "out") == 2
    assert str(tmp_path / "out") in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "years of work"


def test_a_missing_release_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _export(tmp_path / "missing", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "missing") in error and "`cot-distill build`" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"not Parquet"], ids=["missing", "not Parquet"])
def test_an_unreadable_config_is_named_and_the_older_export_is_kept(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp") == 0
    before = _bytes(tmp_path / "out")
    (file,) = (odd_release / "data/gpt4o-l6-svamp").iterdir()
    file.unlink()
    if content:
        file.write_bytes(content)
    assert _export(odd_release, tmp_path / "out") == 2
    assert str(file) in capsys.readouterr().err.splitlines()[-1]
    assert _bytes(tmp_path / "out") == before


def test_the_current_folder_is_a_release_or_an_export(
    tmp_path: Path, odd_release: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(odd_release, tmp_path / "release")
    monkeypatch.chdir(tmp_path / "release")
    before = sorted(tmp_path.rglob("*"))
    assert main(["audit", "."]) in (0, 1)  # the odd release breaks promises
    assert (tmp_path / "release/audit.md").is_file()
    assert main(["export", ".", "--to", "llamafactory", "--out", "."]) == 2
    assert set(before) <= set(tmp_path.rglob("*"))
    (tmp_path / "out").mkdir()
    for _ in range(2):  # the second replaces the first
        monkeypatch.chdir(tmp_path / "out")
        assert main(["export", "../release", "--to", "llamafactory", "--out", "."]) == 0
        assert (tmp_path / "out/dataset_info.json").is_file()
    assert capsys.readouterr().err.count("not an export") == 1

"""LLaMA-Factory's own loader reads our texts in an export; an export replaces only an export."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from cot_distill_datasets.benchmarks import EvalItem
from cot_distill_datasets.build import build
from cot_distill_datasets.cli import main
from cot_distill_datasets.release import Release, write_config, write_index
from cot_distill_datasets.schema import cot_row, eval_row
from cot_distill_datasets.taxonomy import ConfigName


ROOT = Path(__file__).parent.parent
QUESTIONS = ['Say "2 \\ 3"?\r\n\tand\u2028more\x00 ', "2024-01-01", "多少 😀 é e\u0301 <b>{x}</b>\n\n### Response:\n"]


@pytest.fixture
def odd_release(tmp_path: Path) -> Path:
    """A release of three configs and a test split, of texts that a file format may spoil."""
    folder, configs = tmp_path / "odd", []
    for name in ("gpt4o-l5-svamp", "gpt4o-l6-svamp", "answer-svamp"):
        config = ConfigName.parse(name)
        rationale = None if config.teacher == "answer" else " So:\r\n“4” \\n\u2028 "
        rows = [
            cot_row(config, question, [], "4", rationale=rationale, teacher_answer="4", source=f"odd#{index}")
            for index, question in enumerate(QUESTIONS)
        ]
        configs.append(write_config(name, "train", [row for row in rows if row], folder))
    item = EvalItem("3 + 3?", [], "6", "odd/test#0")
    configs.append(write_config("eval-svamp", "test", [eval_row("svamp", item)], folder))
    write_index(Release("0.1.0", "clean", "a parser", configs, [], {}, []), folder)
    return folder


@pytest.fixture
def arith_release(tmp_path: Path, few_problems: None) -> Path:
    """A built release, which needs no data from outside."""
    build(tmp_path / "arith")
    return tmp_path / "arith"


def _export(release: Path, out: Path, *more: str) -> int:
    return main(["export", str(release), "--to", "llamafactory", "--out", str(out), *more])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _ours(release: Path, config: str) -> Dataset:
    (file,) = (release / "data" / config).glob("train-*.parquet")
    return load_dataset("parquet", data_files=str(file), split="train")


def _loaded(dataset_dir: Path, names: list[str], scratch: Path) -> dict[str, list[dict[str, object]]]:
    """Return what LLaMA-Factory loads with the README's training file, on a CPU."""
    (training_file,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (scratch / "train.yaml").write_text(training_file)
    cpu = {"CUDA_VISIBLE_DEVICES": ""}  # where it sees several GPUs it asks for torchrun
    changed = [f"dataset_dir={dataset_dir}", f"dataset={','.join(names)}", "bf16=false"]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tests/llamafactory_rows.py"), "train.yaml", *changed],
        cwd=scratch,
        env=os.environ | cpu | {"DISABLE_VERSION_CHECK": "1", "HF_DATASETS_CACHE": str(scratch / "cache")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("odd_release", ["gpt4o-l5-svamp", "gpt4o-fine-svamp", "gpt4o-l6-svamp", "answer-svamp"]),
        ("arith_release", ["oracle-l3-arith", "oracle-coarse-arith", "oracle-l5-symbolic-arith", "answer-arith"]),
        ("full_release", ["gpt4o-fine-svamp", "gpt4o-l3-rar-svamp", "llama70b-coarse-gsm8k", "human-svamp"]),
    ],
)
def test_llamafactory_loads_our_prompts_and_completions_byte_for_byte(
    tmp_path: Path, request: pytest.FixtureRequest, release: str, names: list[str]
) -> None:
    folder = request.getfixturevalue(release)
    assert _export(folder, tmp_path / "out") == 0
    loaded = _loaded(tmp_path / "out", names, tmp_path)
    assert list(loaded) == names
    for name, rows in loaded.items():
        ours = _ours(folder, str(ConfigName.parse(name)))
        assert [row["_prompt"] for row in rows] == ours["prompt"][:]
        assert [row["_response"] for row in rows] == ours["completion"][:]
        assert {(row["_system"], row["_tools"], row["_images"]) for row in rows} == {("", "", None)}


def test_every_training_config_and_its_alias_are_listed_and_no_test_split(
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


def test_a_config_is_chosen_by_its_name_or_its_alias(tmp_path: Path, odd_release: Path) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "gpt4o-fine-svamp", "gpt4o-l5-svamp") == 0
    entries = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert list(entries) == ["gpt4o-fine-svamp", "gpt4o-l5-svamp"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("gpt4o-fein-svamp", "has no training config 'gpt4o-fein-svamp': use `gpt4o-fine-svamp`"),
        ("eval-svamp", "has no training config 'eval-svamp': use"),
    ],
)
def test_an_unknown_config_is_refused_with_the_nearest_names(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], config: str, said: str
) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp", config) == 2
    assert said in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["odd"]


def test_a_former_export_is_replaced_whole_and_two_exports_give_the_same_bytes(
    tmp_path: Path, odd_release: Path
) -> None:
    assert _export(odd_release, tmp_path / "all") == 0
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp") == 0
    assert set(_bytes(tmp_path / "out")) == {"dataset_info.json", "answer-svamp.jsonl"}
    assert _export(odd_release, tmp_path / "out") == 0
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "all")


def _release_of_this_name(release: Path, out: Path) -> None:
    shutil.copytree(release, out)


def _llamafactorys_own_data_folder(_: Path, out: Path) -> None:
    out.mkdir()
    (out / "identity.jsonl").write_text("{}\n")
    (out / "dataset_info.json").write_text('{"identity": {"file_name": "identity.jsonl"}}')


def _export_with_a_student_in_it(release: Path, out: Path) -> None:
    _export(release, out)
    (out / "gpt4o-l5-svamp").mkdir()


def _export_with_an_entry_of_the_users(release: Path, out: Path) -> None:
    _export(release, out)
    info = json.loads((out / "dataset_info.json").read_text())
    (out / "dataset_info.json").write_text(json.dumps(info | {"mine": {"hf_hub_url": "me/mine"}}))


def _data_without_dataset_info(release: Path, out: Path) -> None:
    _export(release, out)
    (out / "dataset_info.json").unlink()


@pytest.mark.parametrize(
    "occupy",
    [
        _release_of_this_name,
        _llamafactorys_own_data_folder,
        _export_with_a_student_in_it,
        _export_with_an_entry_of_the_users,
        _data_without_dataset_info,
    ],
)
def test_a_folder_that_is_no_export_is_never_replaced(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], occupy: Callable[[Path, Path], None]
) -> None:
    out = tmp_path / "out"
    occupy(odd_release, out)
    before = {path: path.stat() for path in [out, *out.rglob("*")]}
    assert _export(odd_release, out) == 2
    assert "holds something else than an export" in capsys.readouterr().err
    assert {path: path.stat() for path in [out, *out.rglob("*")]} == before


def test_a_file_in_the_place_of_out_is_refused(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("years of work")
    assert _export(odd_release, tmp_path / "out") == 2
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "years of work"


def test_a_folder_that_is_no_release_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _export(tmp_path / "missing", tmp_path / "out") == 2
    assert "missing: run `cot-distill build` first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", [None, b"not Parquet"])
def test_a_config_that_cannot_be_read_is_named_and_the_former_export_stays(
    tmp_path: Path, odd_release: Path, capsys: pytest.CaptureFixture[str], broken: bytes | None
) -> None:
    assert _export(odd_release, tmp_path / "out", "--config", "answer-svamp") == 0
    before = _bytes(tmp_path / "out")
    (file,) = (odd_release / "data/gpt4o-l6-svamp").iterdir()
    if broken:
        file.write_bytes(broken)
    else:
        file.unlink()
    assert _export(odd_release, tmp_path / "out") == 2
    assert f"{file} cannot be read: build the release again" in capsys.readouterr().err
    assert _bytes(tmp_path / "out") == before

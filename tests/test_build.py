"""A release folder is what `load_dataset` reads."""

import json
from pathlib import Path

import pytest
from conftest import run_build
from datasets import load_dataset
from huggingface_hub import DatasetCard

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.build import build
from cot_distill_datasets.cli import main
from cot_distill_datasets.release import read_release
from cot_distill_datasets.training_rows import load_training_rows


def test_the_promised_call_reads_the_folder_where_it_was_built(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    fine = load_dataset("eit/cot-distill", "oracle-fine-arith", split="train")
    assert fine.num_rows == 5000
    assert fine[0] == load_dataset("eit/cot-distill", "oracle-l5-arith", split="train")[0]
    assert load_dataset("eit/cot-distill", split="train")[0]["granularity"] == 3  # the default is oracle-l3-arith
    streamed = next(iter(load_dataset("eit/cot-distill", "answer-arith", split="train", streaming=True)))
    assert streamed["completion"] == [{"role": "assistant", "content": f"The answer is {streamed['answer']}"}]


def test_rows_are_aligned_by_id_over_levels_formats_and_the_baseline(workplace: Path) -> None:
    folder = str(workplace / "eit/cot-distill")
    names = ["answer-arith", "oracle-l1-arith", "oracle-l6-arith", "oracle-l3-symbolic-arith"]
    ids = [load_dataset(folder, name, split="train")["id"][:] for name in names]
    assert all(other == ids[0] for other in ids)
    assert not set(ids[0]) & set(load_dataset(folder, "eval-arith", split="test")["id"][:])


def test_every_config_of_the_front_matter_names_one_file_that_is_there(full_release: Path) -> None:
    configs = DatasetCard.load(full_release / "README.md").data.to_dict()["configs"]
    files = {config["data_files"][0]["path"] for config in configs}
    assert all((full_release / file).is_file() for file in files)
    assert len({config["config_name"] for config in configs}) == len(configs)
    assert [config["config_name"] for config in configs if config.get("default")] == ["oracle-l3-arith"]


def test_the_real_files_are_all_there_and_clean(full_release: Path) -> None:
    release = read_release(full_release)
    assert release is not None
    stats = {config.name: config for config in release.configs}
    assert (stats["eval-svamp"].rows, stats["eval-gsm8k"].rows, stats["eval-arith"].rows) == (300, 1319, 500)
    assert (stats["gpt4o-l5-svamp"].rows_in, stats["gpt4o-l5-svamp"].rows) == (699, 687)
    assert (stats["llama70b-l2-gsm8k"].rows_in, stats["llama70b-l2-gsm8k"].dropped) == (
        7442, {"contradicting": 18, "denied": 5},
    )  # fmt: skip
    assert (len(release.absent), release.left_out) == (82, {})
    rows = load_dataset(str(full_release), "gpt4o-fine-svamp", split="train")
    assert False not in rows["is_correct"][:]


def test_two_builds_give_the_same_bytes(workplace: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    first = {p.name: p.read_bytes() for p in (workplace / "eit/cot-distill").rglob("*.*")}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").rglob("*.*")}


def test_nearest_configs_are_named_for_an_unknown_one(workplace: Path) -> None:
    with pytest.raises(CotDistillError, match="has no config 'orakel-l3-arith': use `oracle-l3-arith`"):
        load_training_rows(str(workplace / "eit/cot-distill"), "orakel-l3-arith")


def test_where_nothing_is_built_and_no_hub_answers_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CotDistillError, match="run `cot-distill build` first"):
        load_training_rows("eit/cot-distill", "gpt4o-fine-svamp")


def test_absent_files_are_counted_and_passed_over(
    tmp_path: Path, small_upstream: Path, benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 0
    assert "1 files of the manifest are absent" in capsys.readouterr().err
    assert run_build(tmp_path / "strict", small_upstream, benchmarks, "--strict") == 2
    assert "SVAMP_llama_level4_ranked.json: is absent" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


def test_a_benchmark_without_its_test_split_is_left_out(
    tmp_path: Path, small_upstream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--upstream", str(small_upstream), "--out", str(tmp_path / "out")]) == 1
    assert (
        "gpt4o-l1-svamp, gpt4o-l2-svamp: no test split of svamp is at hand: give --benchmarks"
        in capsys.readouterr().err
    )


def test_a_training_question_of_the_test_split_is_dropped(
    tmp_path: Path, small_upstream: Path, benchmarks: Path
) -> None:
    item = json.loads((benchmarks / "svamp/derived_test_300.json").read_text())[0]
    leak = {"instruction": f"{item['Body']}  {item['Question']}", "output": "76 - 25 = 51. The answer is 51"}
    path = small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json"
    path.write_text(json.dumps([leak, *json.loads(path.read_text())]))
    release = build(tmp_path / "out", small_upstream, benchmarks)
    (stats,) = [config for config in release.configs if config.name == "gpt4o-l1-svamp"]
    assert (stats.rows_in, stats.dropped, stats.rows) == (
        701, {"leaked": 1, "contradicting": 9, "no_rationale": 3}, 688,
    )  # fmt: skip


def test_a_rebuilt_folder_never_serves_old_rows_from_the_cache(
    tmp_path: Path, small_upstream: Path, benchmarks: Path
) -> None:
    out, path = tmp_path / "out", small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json"
    build(out, small_upstream, benchmarks)
    assert load_dataset(str(out), "gpt4o-l1-svamp", split="train").num_rows == 688
    path.write_text(json.dumps(json.loads(path.read_text())[:100]))
    build(out, small_upstream, benchmarks)
    assert load_dataset(str(out), "gpt4o-l1-svamp", split="train").num_rows < 101

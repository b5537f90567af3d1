"""`build` writes a release folder that `load_dataset` reads."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard
from support import run_build

from cot_distill_datasets import ConfigName, CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.folder import RELEASE_REVISION, read_release
from cot_distill_datasets.schema import ConfigRows, Golds, Source, cot_row, question_id
from cot_distill_datasets.sources import arith
from cot_distill_datasets.training.data import load_rows


def test_load_dataset_reads_the_release_in_the_current_folder(
    project_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_dir)
    fine = load_dataset("eit/cot-distill", "oracle-fine-arith", split="train")
    assert fine.num_rows == 5000
    assert fine[0] == load_dataset("eit/cot-distill", "oracle-l5-arith", split="train")[0]
    assert load_dataset("eit/cot-distill", split="train")[0]["granularity"] == 3  # the default is oracle-l3-arith
    streamed = next(iter(load_dataset("eit/cot-distill", "answer-arith", split="train", streaming=True)))
    assert streamed["completion"] == [{"role": "assistant", "content": f"The answer is {streamed['answer']}"}]


def test_rows_are_aligned_by_id_over_levels_formats_and_the_baseline(project_dir: Path) -> None:
    folder = str(project_dir / "eit/cot-distill")
    names = ["answer-arith", "oracle-l1-arith", "oracle-l6-arith", "oracle-l3-symbolic-arith"]
    ids = [load_dataset(folder, name, split="train")["id"][:] for name in names]
    assert all(other == ids[0] for other in ids)
    assert not set(ids[0]) & set(load_dataset(folder, "eval-arith", split="test")["id"][:])


def test_every_config_of_the_front_matter_names_an_existing_file(stand_in_release: Path) -> None:
    configs = DatasetCard.load(stand_in_release / "README.md").data.to_dict()["configs"]
    files = {config["data_files"][0]["path"] for config in configs}
    assert all((stand_in_release / file).is_file() for file in files)
    assert len({config["config_name"] for config in configs}) == len(configs)
    assert [config["config_name"] for config in configs if config.get("default")] == ["oracle-l3-arith"]


@pytest.mark.slow
def test_the_release_of_the_real_files_has_all_rows_without_contradictions(full_release: Path) -> None:
    release = read_release(full_release)
    assert release is not None
    stats = {config.name: config for config in release.configs}
    assert (stats["eval-svamp"].rows, stats["eval-gsm8k"].rows, stats["eval-arith"].rows) == (300, 1319, 500)
    assert (stats["gpt4o-l5-svamp"].rows_in, stats["gpt4o-l5-svamp"].rows) == (699, 687)
    assert (stats["llama70b-l2-gsm8k"].rows_in, stats["llama70b-l2-gsm8k"].dropped) == (
        7442, {"contradicting": 18, "denied": 15},
    )  # fmt: skip
    assert (len(release.absent), release.left_out) == (82, {})
    rows = load_dataset(str(full_release), "gpt4o-fine-svamp", split="train")
    assert False not in rows["is_correct"][:]


def test_two_builds_give_the_same_bytes(project_dir: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    first = {p.name: p.read_bytes() for p in (project_dir / "eit/cot-distill").rglob("*.*")}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").rglob("*.*")}


def test_an_unknown_config_is_rejected_with_the_nearest_name(project_dir: Path) -> None:
    with pytest.raises(CotDistillError, match="'orakel-l3-arith': use `oracle-l3-arith`"):
        load_rows("orakel-l3-arith", str(project_dir / "eit/cot-distill"))


def test_without_a_release_and_offline_the_command_to_build_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CotDistillError, match="`cot-distill build`"):
        load_rows("gpt4o-fine-svamp", "eit/cot-distill")


def test_missing_files_are_counted_and_skipped_unless_strict(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_build(tmp_path / "out", small_upstream, stand_in_benchmarks) == 0
    assert "1 file of" in capsys.readouterr().err
    release = read_release(tmp_path / "out")
    assert release and release.absent == {"llama70b-l4-svamp": "SVAMP_llama_level4_ranked.json"}
    assert run_build(tmp_path / "strict", small_upstream, stand_in_benchmarks, "--strict") == 2
    assert "SVAMP_llama_level4_ranked.json" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


def test_a_benchmark_without_its_test_split_is_skipped(
    tmp_path: Path, small_upstream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--upstream", str(small_upstream), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "answer-svamp, gpt4o-l1-svamp, gpt4o-l2-svamp: " in error and "--benchmarks" in error
    assert not (tmp_path / "out/data/gpt4o-l1-svamp").exists()


def test_a_training_question_of_the_test_split_is_dropped(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path
) -> None:
    item = json.loads((stand_in_benchmarks / "svamp/derived_test_300.json").read_text())[0]
    leak = {"instruction": f"{item['Body']}  {item['Question']}", "output": "14 + 5 = 19. The answer is 19"}
    path = small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json"
    path.write_text(json.dumps([leak, *json.loads(path.read_text())]))
    release = build(tmp_path / "out", small_upstream, stand_in_benchmarks)
    (stats,) = [config for config in release.configs if config.name == "gpt4o-l1-svamp"]
    assert (stats.rows_in, stats.dropped, stats.rows) == (4, {"leaked": 1, "contradicting": 1}, 2)


def test_a_rebuilt_folder_never_serves_old_rows_from_the_cache(
    tmp_path: Path, small_upstream: Path, stand_in_benchmarks: Path
) -> None:
    out, path = tmp_path / "out", small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json"
    build(out, small_upstream, stand_in_benchmarks)
    assert load_dataset(str(out), "gpt4o-l1-svamp", split="train").num_rows == 2
    path.write_text(json.dumps(json.loads(path.read_text())[:1]))
    build(out, small_upstream, stand_in_benchmarks)
    assert load_dataset(str(out), "gpt4o-l1-svamp", split="train").num_rows == 1


def _read_my_model(config: ConfigName, golds: Golds) -> ConfigRows:
    answers = {"How many pens are 2 and 2?": "4", "How many pens are 3 and 3?": "5"}
    rows = [
        cot_row(
            config, question, [], golds[question_id("svamp", question, [])].answer,
            rationale="Add them.", teacher_answer=answer, source=question,
        )
        for question, answer in answers.items()
    ]  # fmt: skip
    return ConfigRows([row for row in rows if row], len(rows), {})


def test_a_config_is_joined_to_the_golds_of_another_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_problems: None
) -> None:
    """The paper's release has the golds, and a source of a new teacher reads them."""
    data, name = tmp_path / "upstream/data", ConfigName.parse("mymodel-l2-svamp")
    data.mkdir(parents=True)
    entry = {"file_name": "golds.json", "columns": {"prompt": "instruction", "response": "output"}}
    (data / "dataset_info.json").write_text(json.dumps({"SVAMP_only_ans": entry}))
    golds = {"How many pens are 2 and 2?": "4", "How many pens are 3 and 3?": "6"}
    (data / "golds.json").write_text(json.dumps([{"instruction": q, "output": gold} for q, gold in golds.items()]))
    readers = arith.source().readers | {name: lambda golds: _read_my_model(name, golds)}
    monkeypatch.setattr(arith, "source", lambda: Source(readers))
    release = build(tmp_path / "out", data.parent, unchecked=True)
    stats = {config.name: config for config in release.configs}
    assert (stats["answer-svamp"].rows, release.unchecked, release.left_out) == (2, ["svamp"], {})
    assert (stats[str(name)].rows_in, stats[str(name)].dropped) == (2, {"contradicting": 1})
    (row,) = load_dataset(str(tmp_path / "out"), str(name), split="train").to_list()
    assert (row["teacher"], row["answer"], row["is_correct"]) == ("mymodel", "4", True)
    assert "(`mymodel`) | " in (tmp_path / "out/README.md").read_text()


def test_evaluation_reads_the_hub_tag_of_the_installed_version(project_dir: Path) -> None:
    release = read_release(project_dir / "eit/cot-distill")
    assert release and RELEASE_REVISION == f"v{version('cot-distill')}" == release.tag

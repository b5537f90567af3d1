"""The rows of a training: loaded from a folder, mixed by weight, and ordered, the same on every machine."""

import os
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from datasets import Dataset, concatenate_datasets
from support import ROOT, run_on_full_disk

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.names import Mixture
from cot_distill_datasets.training import arguments
from cot_distill_datasets.training.data import coarse_to_fine, load_mixture, load_rows, mix


CONFIG = "oracle-l3-arith"
FINE_AND_COARSE = Mixture.parse("0.2*oracle-fine-arith + 0.8*oracle-coarse-arith")


@pytest.fixture
def release(project_dir: Path) -> str:
    return str(project_dir / "eit/cot-distill")


def test_loading_rows_never_builds_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CotDistillError, match=f"`{CONFIG}`"):
        load_rows(CONFIG)
    with pytest.raises(CotDistillError, match=f"`{CONFIG}`"):
        load_rows(CONFIG, str(tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("config", "is_built"), [(CONFIG, True), ("gpt4o-l5-svamp", False)])
def test_sft_builds_a_missing_release_of_an_embedded_benchmark(
    sft: ModuleType, few_problems: None, config: str, is_built: bool
) -> None:
    Path("eit").unlink()  # the link to a release
    Path("file").write_text("")
    with pytest.raises(CotDistillError, match="file/student" if is_built else config):  # main stops before training
        sft.main(*arguments.parse(["--dataset_config", config, "--output_dir", "file/student"]))
    assert Path("eit/cot-distill/release.json").is_file() == is_built


def test_a_folder_with_a_different_edition_is_rejected(release: str) -> None:
    with pytest.raises(CotDistillError, match=r"`clean`.*'paper'") as error:
        load_rows(CONFIG, release, "paper")
    assert release in str(error.value)


def _dataset(folder: Path) -> Path:
    """Write the card of a dataset with one config; return the path of its missing Parquet file."""
    folder.mkdir()
    header = f"configs:\n- config_name: {CONFIG}\n  data_files:\n  - split: train\n    path: train.parquet\n"
    (folder / "README.md").write_text(f"---\n{header}---\n")
    return folder / "train.parquet"


def test_an_empty_split_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    Dataset.from_dict({"prompt": [], "completion": []}).to_parquet(_dataset(folder))
    with pytest.raises(CotDistillError, match=f'{folder} .*`{CONFIG}`: .*"train"'):
        load_rows(CONFIG, str(folder))


def test_a_file_that_is_not_parquet_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    _dataset(folder).write_bytes(b"PAR1 truncated")
    with pytest.raises(CotDistillError, match=f"{folder} .*`{CONFIG}`: Parquet"):
        load_rows(CONFIG, str(folder))


def test_the_rows_of_a_folder_are_read_again_after_an_edit(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    path = _dataset(folder)
    for answer in ("1", "2"):
        turns = {
            "prompt": [{"role": "user", "content": "?"}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        Dataset.from_list([{"id": "x"} | turns]).to_parquet(path)
        (row,) = load_rows(CONFIG, str(folder))
        assert row["completion"][0]["content"] == answer


@pytest.mark.slow
def test_a_disk_that_fills_up_while_rows_are_cached_ends_with_a_message(sft: ModuleType, tmp_path: Path) -> None:
    cache = os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    result = run_on_full_disk(str(ROOT / "training/sft.py"), limit=60_000, env=cache)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("sft.py: ") and f"`{CONFIG}` in eit/cot-distill" in message
    assert "File too large" in message


def test_a_mixture_has_each_question_once_and_keeps_the_weights(release: str) -> None:
    rows = load_mixture(FINE_AND_COARSE, release, seed=100)
    assert sorted(rows["id"]) == sorted(load_rows("oracle-l1-arith", release)["id"])
    assert Counter(rows["granularity"]) == {1: 3947, 5: 1053}  # of 5,000; a fair draw has 4,000 ± 28


def test_the_seed_decides_which_config_supplies_a_question(release: str) -> None:
    first, second, other = (load_mixture(FINE_AND_COARSE, release, seed=seed)["granularity"][:] for seed in (1, 1, 2))
    assert first == second != other


def test_the_order_of_the_rows_does_not_change_the_mixture(release: str) -> None:
    parts = [load_rows(config, release) for config in FINE_AND_COARSE.configs]
    reverse = [part.select(range(len(part) - 1, -1, -1)) for part in parts]
    mixed, mixed_reverse = (
        {row["id"]: row["granularity"] for row in mix(rows, FINE_AND_COARSE, seed=1)} for rows in (parts, reverse)
    )
    assert mixed == mixed_reverse


def _rows(granularity: int, *ids: str) -> Dataset:
    return Dataset.from_dict({"id": ids, "granularity": [granularity] * len(ids), "row": range(len(ids))})


def test_a_question_that_one_config_lacks_comes_from_the_other() -> None:
    rows = mix([_rows(5, "a", "b"), _rows(1, "b", "c", "c")], FINE_AND_COARSE, seed=1)
    assert sorted(rows["id"]) == ["a", "b", "c"]
    by_id = {row["id"]: row for row in rows}
    assert by_id["a"]["granularity"] == 5
    assert by_id["c"]["row"] == 1  # the first of two


def test_a_single_config_keeps_its_repeated_rows() -> None:
    assert mix([_rows(5, "a", "a")], Mixture.parse("oracle-l5-arith"), seed=1)["id"][:] == ["a", "a"]


def test_coarse_to_fine_orders_by_granularity_and_shuffles_within_each() -> None:
    rows = concatenate_datasets([_rows(5, *"abcdefgh"), _rows(1, *"ijklmnop")])
    ordered = coarse_to_fine(rows, seed=3)
    assert ordered["granularity"][:] == [1] * 8 + [5] * 8
    assert sorted(ordered["id"][:8]) == list("ijklmnop") != ordered["id"][:8]


def test_coarse_to_fine_needs_several_granularities() -> None:
    with pytest.raises(CotDistillError, match="`coarse_to_fine`"):
        coarse_to_fine(_rows(5, "a", "b"), seed=3)


def test_a_folder_in_the_place_of_the_release_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("eit/cot-distill").mkdir(parents=True)
    Path("eit/cot-distill/notes.txt").write_text("x")
    with pytest.raises(CotDistillError, match="eit/cot-distill is not a release"):
        load_rows("gpt4o-fine-svamp")


def test_a_release_that_lacks_a_file_is_named_with_the_file(release: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(release, tmp_path / "release"))
    file = next(copy.glob(f"data/{CONFIG}/*.parquet"))
    file.unlink()
    with pytest.raises(CotDistillError, match=rf"{tmp_path}/release.*{file.name}"):
        load_rows(CONFIG, str(copy))

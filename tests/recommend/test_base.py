"""The base model of a student: which recipe it has, and what is rejected."""

import math
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.recommend.base import find_recipe, load_base


@pytest.fixture
def base(project: Path, tmp_path: Path) -> Path:
    """A copy of the demo student."""
    return Path(shutil.copytree(project / "runs/demo/untrained", tmp_path / "base"))


def test_a_student_is_a_recipe_or_a_base_model(base: Path, tmp_path: Path) -> None:
    q4 = find_recipe("smollm2-135m-q4")
    assert q4["model_name_or_path"] == "runs/base/smollm2-135m" and q4["max_length"] == 4096
    # A base that a recipe names has its chat template.
    for folder in (Path("runs/base/smollm2-135m"), Path("runs/base/smollm2-135m").resolve()):
        assert find_recipe(f"{folder}/") == q4
    assert find_recipe("google/gemma-3-270m")["eos_token"] == "<end_of_turn>"
    assert find_recipe(str(base)).get("chat_template_path") is None
    own = tmp_path / "own.yaml"
    own.write_text(f"model_name_or_path: {base}\nchat_template_path: alpaca\n")
    assert find_recipe(str(own))["chat_template_path"] == "alpaca"


def test_an_unknown_student_names_the_nearest_recipe() -> None:
    with pytest.raises(CotDistillError, match="`smollm2-135m`"):
        find_recipe("smolm2-135m")


def _error(student: Path | str) -> str:
    with pytest.raises(CotDistillError) as error:
        load_base(str(student))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_base_without_weights_is_rejected(base: Path) -> None:
    (base / "model.safetensors").unlink()
    assert "model.safetensors" in _error(base)


def test_nan_weights_are_rejected(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    assert "`model.norm.weight`" in _error(base)


def test_a_template_that_does_not_fit_the_vocabulary_is_rejected(base: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"model_name_or_path: {base}\nchat_template_path: gemma\n")
    assert "`<start_of_turn>`" in _error(own)


def test_a_demo_student_is_created_as_a_training_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo = load_base("demo")
    assert (demo.name, demo.path, demo.limit) == ("demo", "runs/demo/untrained", 1024)
    assert Path("runs/demo/untrained/model.safetensors").is_file()


def test_the_key_changes_with_weights_and_template(base: Path, tmp_path: Path) -> None:
    first = load_base(str(base))
    assert first.limit == 1024 and first.name == "base" and first.parameters == pytest.approx(9e5, rel=0.1)
    own = tmp_path / "own.yaml"
    own.write_text(f"model_name_or_path: {base}\nchat_template_path: alpaca\nmax_length: 300\n")
    alpaca = load_base(str(own))
    assert alpaca.limit == 300
    other = Path(shutil.copytree(base, tmp_path / "other"))
    assert load_base(str(other)).key == first.key
    changed = Path(shutil.copytree(base, tmp_path / "changed"))
    weights = load_file(changed / "model.safetensors")
    weights["model.norm.weight"][0] = 2
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert len({first.key, alpaca.key, load_base(str(changed)).key}) == 3

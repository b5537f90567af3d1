"""The trainer: its step is TRL's step, its order is of seed and epoch only, a loss that is no number stops it."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    PreTrainedConfig,
)

from cot_distill_datasets.taxonomy import CotDistillError
from cot_distill_datasets.trainer import CotTrainer
from cot_distill_datasets.training_rows import load_training_rows


@pytest.fixture(scope="module")
def rows(workplace: Path) -> Dataset:
    """48 rows of very different lengths."""
    parts = [load_training_rows(str(workplace / "eit/cot-distill"), f"oracle-l{level}-arith") for level in (1, 6)]
    lines = [part[i] for i in range(24) for part in parts]
    return Dataset.from_list([{name: line[name] for name in ("id", "prompt", "completion")} for line in lines])


def _arguments(folder: Path, **more: Any) -> trl.SFTConfig:
    """Effective batches of 16 rows in passes of 4, on a CPU in float32."""
    settings = {
        "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "logging_steps": 1, "max_steps": 3,
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "gradient_checkpointing": False,
        "disable_tqdm": True, "learning_rate": 1e-3, "train_sampling_strategy": "batch_rebalance",
    }  # fmt: skip
    return trl.SFTConfig(str(folder), **settings | more)


def _trainer(student: Path, rows: Dataset, folder: Path, *, in_order: bool = False, **more: Any) -> CotTrainer:
    return CotTrainer(
        model=str(student), args=_arguments(folder, **more), train_dataset=rows, recipe_sha256="0", in_order=in_order
    )


@pytest.fixture
def student(workplace: Path) -> Path:
    return workplace / "runs/demo/untrained"


def _losses(trainer: trl.SFTTrainer) -> list[float]:
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


def test_a_step_is_that_of_trl_on_the_same_rows(student: Path, rows: Dataset, tmp_path: Path) -> None:
    sixteen = rows.select(range(16))  # one effective batch: every step has the same rows, however they are cut
    ours = _trainer(student, sixteen, tmp_path)
    args = _arguments(tmp_path, train_sampling_strategy="random")
    theirs = trl.SFTTrainer(str(student), args=args, train_dataset=sixteen)
    for trainer in (ours, theirs):
        trainer.train()
    assert _losses(ours) == pytest.approx(_losses(theirs), abs=1e-5)
    for (name, a), (_, b) in zip(ours.model.named_parameters(), theirs.model.named_parameters()):
        assert torch.allclose(a, b, atol=2e-5), name


SMALL = {"vocab_size": 1024, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = {
    "llama": LlamaConfig(**SMALL, intermediate_size=64),
    "gemma": GemmaConfig(**SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16),
    "gemma3": Gemma3TextConfig(**SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16),
    "bloom": BloomConfig(vocab_size=1024, hidden_size=32, n_layer=2, n_head=2),
}


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_the_loss_is_the_models_own_in_every_family(
    config: PreTrainedConfig, student: Path, rows: Dataset, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_config(config)
    trainer = CotTrainer(
        model=model, args=_arguments(tmp_path), train_dataset=rows, recipe_sha256="0",
        processing_class=AutoTokenizer.from_pretrained(student),
    )  # fmt: skip
    for batch in trainer.get_train_dataloader():
        tokens = (batch["labels"] != -100).sum()
        with torch.no_grad():
            want = type(model).forward(model, **batch, use_cache=False).loss  # TRL patches the instance's
            assert trainer.compute_loss(model, batch, num_items_in_batch=tokens).item() == pytest.approx(want.item())


def _order(trainer: CotTrainer, epoch: int) -> list[list[int]]:
    sampler = trainer._get_train_sampler()
    sampler.set_epoch(epoch)
    return [sorted(batch) for batch in sampler]


def test_the_order_is_of_seed_and_epoch_and_has_each_row_once(student: Path, rows: Dataset, tmp_path: Path) -> None:
    orders = [_order(_trainer(student, rows, tmp_path, seed=seed), epoch) for seed, epoch in [(1, 0), (1, 1), (2, 0)]]
    assert orders[0] == _order(_trainer(student, rows, tmp_path, seed=1), 0)
    assert orders[0] != orders[1] and orders[0] != orders[2]
    for order in orders:
        assert sorted(row for batch in order for row in batch) == list(range(48))


def test_an_effective_batch_has_the_same_rows_however_it_is_cut(student: Path, rows: Dataset, tmp_path: Path) -> None:
    of_four = _order(_trainer(student, rows, tmp_path), 0)
    of_eight = _order(
        _trainer(student, rows, tmp_path, per_device_train_batch_size=8, gradient_accumulation_steps=2), 0
    )
    for step in range(3):
        four, eight = of_four[4 * step : 4 * step + 4], of_eight[2 * step : 2 * step + 2]
        assert sorted(chain(*four)) == sorted(chain(*eight))


def test_rows_of_like_length_share_a_pass(student: Path, rows: Dataset, tmp_path: Path) -> None:
    def share_of_tokens(**more: Any) -> float:
        masks = [batch["attention_mask"] for batch in _trainer(student, rows, tmp_path, **more).get_train_dataloader()]
        return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    assert share_of_tokens() > 0.85
    assert share_of_tokens(train_sampling_strategy="random") < 0.7


def test_in_order_takes_the_rows_as_they_stand(student: Path, rows: Dataset, tmp_path: Path) -> None:
    order = _order(_trainer(student, rows, tmp_path, in_order=True), 1)
    assert [sorted(chain(*order[4 * step : 4 * step + 4])) for step in range(3)] == [
        list(range(16 * step, 16 * step + 16)) for step in range(3)
    ]


def test_rows_that_an_epoch_has_twice_are_counted(student: Path, rows: Dataset, tmp_path: Path) -> None:
    trainer = _trainer(student, rows.select(range(33)), tmp_path)  # the last effective batch: 1 row for 4 passes
    assert sum(map(len, _order(trainer, 0))) == 33 + trainer.repeated_rows == 36
    assert _trainer(student, rows.select(range(37)), tmp_path).repeated_rows == 0
    assert _trainer(student, rows, tmp_path).repeated_rows == 0


def test_label_smoothing_is_trls(student: Path, rows: Dataset, tmp_path: Path) -> None:
    sixteen = rows.select(range(16))
    ours = _trainer(student, sixteen, tmp_path, label_smoothing_factor=0.5)
    args = _arguments(tmp_path, train_sampling_strategy="random", label_smoothing_factor=0.5)
    theirs = trl.SFTTrainer(str(student), args=args, train_dataset=sixteen)
    for trainer in (ours, theirs):
        trainer.train()
    assert _losses(ours) == pytest.approx(_losses(theirs), abs=1e-5)
    plain = _trainer(student, sixteen, tmp_path)
    plain.train()
    assert abs(_losses(plain)[-1] - _losses(ours)[-1]) > 0.01


def test_a_run_killed_after_its_last_checkpoint_takes_no_step_more(
    student: Path, rows: Dataset, tmp_path: Path
) -> None:
    """Its two steps end in the midst of an epoch, which has three."""
    runs = [_trainer(student, rows, tmp_path, max_steps=2, save_strategy="steps", save_steps=1) for _ in range(2)]
    for trainer in runs:
        trainer.resume()
    assert [trainer.state.global_step for trainer in runs] == [2, 2] and _losses(runs[0]) == _losses(runs[1])
    for (name, a), (_, b) in zip(runs[0].model.named_parameters(), runs[1].model.named_parameters()):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("limit", "kept"), [(2, ["checkpoint-2", "checkpoint-3"]), (5, ["checkpoint-1", "checkpoint-2", "checkpoint-3"])]
)
def test_as_many_checkpoints_stay_as_save_total_limit_says(
    limit: int, kept: list[str], student: Path, rows: Dataset, tmp_path: Path
) -> None:
    _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1, save_total_limit=limit).resume()
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def _break(trainer: CotTrainer, what: str) -> None:
    """Let a weight, or its gradient, be no number in the third step, whose first pass is the ninth."""
    weight, passes = trainer.model.lm_head.weight, []

    def before_a_pass(*_: Any) -> None:
        passes.append(weight)
        if what == "weight" and len(passes) == 9:
            weight.data[:] = float("nan")

    trainer.model.register_forward_pre_hook(before_a_pass)
    if what == "gradient":
        weight.register_hook(lambda gradient: gradient * float("inf") if len(passes) >= 9 else gradient)


@pytest.mark.parametrize("what", ["weight", "gradient"])
def test_what_is_no_number_stops_before_a_checkpoint_has_it(
    what: str, student: Path, rows: Dataset, tmp_path: Path
) -> None:
    trainer = _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1)
    _break(trainer, what)
    with pytest.raises(CotDistillError, match=r"The gradient of step 3 is (nan|inf): the checkpoints before"):
        trainer.resume()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    for weights in tmp_path.glob("checkpoint-*"):
        saved = AutoModelForCausalLM.from_pretrained(weights)
        assert all(parameter.isfinite().all() for parameter in saved.parameters())


def test_in_float16_it_is_the_loss_that_must_be_a_number(student: Path, rows: Dataset, tmp_path: Path) -> None:
    """There a gradient is none now and then, and the step is left out; on a CPU the rest is as in float32."""
    trainer = _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1)
    trainer.args.fp16 = True
    _break(trainer, "weight")
    with pytest.raises(CotDistillError, match=r"The loss of step 3 is nan: the checkpoints before"):
        trainer.resume()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]

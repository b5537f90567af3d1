"""The trainer: a step equals TRL's, order depends only on seed and epoch, a non-finite value stops the training."""

from itertools import chain, count
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

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.trainer import CotTrainer


@pytest.fixture(scope="module")
def rows(project_dir: Path) -> Dataset:
    """48 rows of very different lengths."""
    parts = [load_rows(f"oracle-l{level}-arith", str(project_dir / "eit/cot-distill")) for level in (1, 6)]
    rows = [part[i] for i in range(24) for part in parts]
    return Dataset.from_list([{name: row[name] for name in ("id", "prompt", "completion")} for row in rows])


def _arguments(folder: Path, **more: Any) -> trl.SFTConfig:
    """Effective batches of 16 rows in forward passes of 4, on a CPU in float32."""
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
def student(project_dir: Path) -> Path:
    """The untrained demo student."""
    return project_dir / "runs/demo/untrained"


def _losses(trainer: trl.SFTTrainer) -> list[float]:
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_a_step_equals_trls_on_the_same_rows(student: Path, rows: Dataset, tmp_path: Path, smoothing: float) -> None:
    batch = rows.select(range(16))  # one effective batch: every step has the same rows, however they are split
    ours = _trainer(student, batch, tmp_path, label_smoothing_factor=smoothing)
    args = _arguments(tmp_path, train_sampling_strategy="random", label_smoothing_factor=smoothing)
    trls = trl.SFTTrainer(str(student), args=args, train_dataset=batch)
    for trainer in (ours, trls):
        trainer.train()
    assert _losses(ours) == pytest.approx(_losses(trls), abs=1e-5)
    for (name, a), (_, b) in zip(ours.model.named_parameters(), trls.model.named_parameters()):
        assert torch.allclose(a, b, atol=2e-5), name


def test_label_smoothing_changes_the_loss(student: Path, rows: Dataset, tmp_path: Path) -> None:
    trainers = [_trainer(student, rows.select(range(16)), tmp_path, label_smoothing_factor=x) for x in (0.0, 0.5)]
    for trainer in trainers:
        trainer.train()
    plain, smoothed = (_losses(trainer)[-1] for trainer in trainers)
    assert abs(plain - smoothed) > 0.01


SMALL = {"vocab_size": 1024, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = {
    "llama": LlamaConfig(**SMALL, intermediate_size=64),
    "gemma": GemmaConfig(**SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16),
    "gemma3": Gemma3TextConfig(**SMALL, intermediate_size=64, num_key_value_heads=1, head_dim=16),
    "bloom": BloomConfig(vocab_size=1024, hidden_size=32, n_layer=2, n_head=2),
}


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_the_loss_equals_the_models_own_in_every_family(
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
            expected = type(model).forward(model, **batch, use_cache=False).loss  # TRL patches the instance's
            loss = trainer.compute_loss(model, batch, num_items_in_batch=tokens)
            assert loss.item() == pytest.approx(expected.item())


def _order(trainer: CotTrainer, epoch: int) -> list[list[int]]:
    """Return the rows of each forward pass of an epoch."""
    trainer.get_train_dataloader()
    trainer.sampler.set_epoch(epoch)
    return [sorted(batch) for batch in trainer.sampler]


def test_the_order_depends_on_seed_and_epoch_and_has_each_row_once(
    student: Path, rows: Dataset, tmp_path: Path
) -> None:
    orders = [_order(_trainer(student, rows, tmp_path, seed=seed), epoch) for seed, epoch in [(1, 0), (1, 1), (2, 0)]]
    assert orders[0] == _order(_trainer(student, rows, tmp_path, seed=1), 0)
    assert orders[0] != orders[1] and orders[0] != orders[2]
    for order in orders:
        assert sorted(row for batch in order for row in batch) == list(range(48))


def test_an_effective_batch_has_the_same_rows_however_it_is_split(
    student: Path, rows: Dataset, tmp_path: Path
) -> None:
    fours = _order(_trainer(student, rows, tmp_path), 0)
    eights = _order(_trainer(student, rows, tmp_path, per_device_train_batch_size=8, gradient_accumulation_steps=2), 0)
    for step in range(3):
        four, eight = fours[4 * step : 4 * step + 4], eights[2 * step : 2 * step + 2]
        assert sorted(chain(*four)) == sorted(chain(*eight))


def test_rows_of_similar_length_share_a_forward_pass(student: Path, rows: Dataset, tmp_path: Path) -> None:
    def share_of_tokens(**more: Any) -> float:
        masks = [batch["attention_mask"] for batch in _trainer(student, rows, tmp_path, **more).get_train_dataloader()]
        return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    assert share_of_tokens() > 0.85
    assert share_of_tokens(train_sampling_strategy="random") < 0.7


def test_in_order_keeps_the_order_of_the_rows(student: Path, rows: Dataset, tmp_path: Path) -> None:
    order = _order(_trainer(student, rows, tmp_path, in_order=True), 1)
    assert [sorted(chain(*order[4 * step : 4 * step + 4])) for step in range(3)] == [
        list(range(16 * step, 16 * step + 16)) for step in range(3)
    ]


def test_repeated_rows_counts_the_rows_that_an_epoch_repeats(student: Path, rows: Dataset, tmp_path: Path) -> None:
    trainer = _trainer(student, rows.select(range(33)), tmp_path)  # the last effective batch: 1 row for 4 passes
    assert sum(map(len, _order(trainer, 0))) == 33 + trainer.repeated_rows == 36
    assert _trainer(student, rows.select(range(37)), tmp_path).repeated_rows == 0
    assert _trainer(student, rows, tmp_path).repeated_rows == 0


def test_a_run_killed_after_its_last_checkpoint_takes_no_further_step(
    student: Path, rows: Dataset, tmp_path: Path
) -> None:
    """Its two steps end inside an epoch, which has three."""
    runs = [_trainer(student, rows, tmp_path, max_steps=2, save_strategy="steps", save_steps=1) for _ in range(2)]
    for trainer in runs:
        trainer.train_or_resume()
    assert [trainer.state.global_step for trainer in runs] == [2, 2] and _losses(runs[0]) == _losses(runs[1])
    for (name, a), (_, b) in zip(runs[0].model.named_parameters(), runs[1].model.named_parameters()):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("limit", "kept"), [(2, ["checkpoint-2", "checkpoint-3"]), (5, ["checkpoint-1", "checkpoint-2", "checkpoint-3"])]
)
def test_save_total_limit_checkpoints_are_kept(
    limit: int, kept: list[str], student: Path, rows: Dataset, tmp_path: Path
) -> None:
    _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1, save_total_limit=limit).train_or_resume()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == kept


def _break(trainer: CotTrainer, quantity: str) -> None:
    """Make a weight, or its gradient, non-finite in the third step, whose first forward pass is the ninth."""
    weight, passes = trainer.model.lm_head.weight, 0

    def before_pass(*_: Any) -> None:
        nonlocal passes
        passes += 1
        if quantity == "weight" and passes == 9:
            weight.data[:] = float("nan")

    trainer.model.register_forward_pre_hook(before_pass)
    if quantity == "gradient":
        weight.register_hook(lambda gradient: gradient * float("inf") if passes >= 9 else gradient)


@pytest.mark.parametrize("quantity", ["weight", "gradient"])
def test_a_non_finite_gradient_stops_before_it_reaches_a_checkpoint(
    quantity: str, student: Path, rows: Dataset, tmp_path: Path
) -> None:
    trainer = _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1)
    _break(trainer, quantity)
    with pytest.raises(CotDistillError, match=r"gradient of step 3 is (nan|inf).*--learning_rate"):
        trainer.train_or_resume()
    checkpoints = sorted(tmp_path.glob("checkpoint-*"))
    assert [path.name for path in checkpoints] == ["checkpoint-1", "checkpoint-2"]
    for checkpoint in checkpoints:
        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_gpu_out_of_memory_names_the_batch_size_and_keeps_the_checkpoints(
    student: Path, rows: Dataset, tmp_path: Path
) -> None:
    trainer = _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1)
    passes = count()

    def before_pass(*_: Any) -> None:
        if next(passes) == 8:  # the first of the third step
            raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer.model.register_forward_pre_hook(before_pass)
    with pytest.raises(CotDistillError, match=r"step 3.*`--per_device_train_batch_size` \(4\)"):
        trainer.train_or_resume()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]


def test_in_float16_the_loss_must_be_finite(student: Path, rows: Dataset, tmp_path: Path) -> None:
    """There a gradient overflows now and then, and the step is skipped; on a CPU the rest is as in float32."""
    trainer = _trainer(student, rows, tmp_path, save_strategy="steps", save_steps=1)
    trainer.args.fp16 = True
    _break(trainer, "weight")
    with pytest.raises(CotDistillError, match=r"loss of step 3 is nan"):
        trainer.train_or_resume()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]

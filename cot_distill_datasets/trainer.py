"""TRL's `SFTTrainer`, made to waste nothing, to stop where it must, and to be killed at any moment.

A step means what it means in TRL: the same rows, their supervised tokens averaged over all devices.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import trl
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from transformers.trainer_pt_utils import BatchRebalanceSampler

from .checkpoints import last_checkpoint, mark_begun, mark_whole, remove_checkpoints, remove_half_written
from .supervision import IGNORED
from .taxonomy import CotDistillError


_OF_TORCHS_WRITER = re.compile("PytorchStreamWriter|unexpected pos|iostream")


def writable(folder: str) -> Path:
    """Make a student's folder where it is not there, and return its path.

    Raises:
        CotDistillError: nothing can be written there.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise CotDistillError(f"{path} cannot be written ({error}): give another `--output_dir`.") from error


@contextmanager
def said_if_not_written(folder: Path) -> Iterator[None]:
    """Say in one sentence what three libraries raise of a full disk: Python, safetensors and torch.

    Raises:
        CotDistillError: `folder` was not written.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OF_TORCHS_WRITER.search(str(error)):
            raise
        raise CotDistillError(
            f"{folder} cannot be written ({error}): the last checkpoint is whole; make room, and run the same command "
            "again."
        ) from error


class CotTrainer(trl.SFTTrainer):  # type: ignore[misc,name-defined]
    """`SFTTrainer` with rows of like length in a forward pass, and checkpoints that say whose they are.

    `recipe_sha256` is what its checkpoints are marked with; `in_order` takes the rows as they stand, at each epoch.
    """

    def __init__(self, *, recipe_sha256: str, in_order: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.recipe_sha256, self.in_order = recipe_sha256, in_order
        self.seconds_before = 0.0  # of the runs that led to the checkpoint this one goes on from
        self.began = time.monotonic()
        # transformers deletes the old checkpoints before the new one is whole, and file by file.
        self.checkpoints_kept, self.args.save_total_limit = self.args.save_total_limit, None

    @property
    def seconds(self) -> float:
        """Seconds of training, over all runs that it took."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def sharding(self) -> str:
        """What shares weights and optimizer among the processes, and decides which files a checkpoint has."""
        return "FSDP" if self.is_fsdp_enabled else "ZeRO" if self.is_deepspeed_enabled else "none"

    def resume(self) -> None:
        """Train to the end, from the last whole checkpoint where there is one.

        Raises:
            CotDistillError: a checkpoint is of another recipe or trainer, a gradient no number, or the disk full.
        """
        student = Path(self.args.output_dir)
        checkpoint = last_checkpoint(student, self.recipe_sha256, self.sharding)
        if self.accelerator.is_main_process:
            remove_half_written(student)
        self.accelerator.wait_for_everyone()
        if checkpoint:
            self.seconds_before = checkpoint.seconds
            self.accelerator.print(f"Going on from {checkpoint.folder}.")
        self.began = time.monotonic()
        self.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return transformers' sampler of `batch_rebalance`, seeded: it takes seed 42 whatever the recipe says.

        It cuts each effective batch into forward passes of like length. Which rows an effective batch has depends on
        seed and epoch only, so neither on the number of processes nor on where a run was cut off; but where the last
        one has fewer rows than there are passes, it takes some of its epoch twice (`repeated_rows`).
        """
        self.sampler = super()._get_train_sampler(train_dataset)
        if isinstance(self.sampler, BatchRebalanceSampler):
            self.sampler.seed, self.sampler.shuffle = self.args.seed, not self.in_order
        return self.sampler

    @property
    def repeated_rows(self) -> int:
        """How many rows an epoch has twice, because its last effective batch has fewer than there are passes."""
        passes = self.args.world_size * self.args.gradient_accumulation_steps
        rest = len(self.train_dataset) % (passes * self.args.train_batch_size)
        return max(passes - rest, 0) if rest else 0

    def _run_epoch(self, **arguments: Any) -> None:
        """Run an epoch in its own order: where a run goes on in its midst, transformers does not reach the sampler.

        Nor does it see that `max_steps` were done in the midst of an epoch: it would take one more.
        """
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        if isinstance(self.sampler, BatchRebalanceSampler):
            self.sampler.set_epoch(arguments["epoch"])
        super()._run_epoch(**arguments)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean cross-entropy of the supervised tokens, in float32.

        On a GPU that is TRL's fused head, which scores the supervised tokens only. On a CPU it scores all of a batch,
        the prompts' too, for metrics that are not the loss (trl 1.16, `add_fused_lm_head`): here only what follows
        the shortest prompt gets logits, and of that the supervised tokens are scored.
        """
        other = self.label_smoother or self.args.loss_type != "nll" or return_outputs or num_items_in_batch is None
        if self.args.device.type != "cpu" or other:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")[:, 1:]
        supervised = labels != IGNORED
        first = int(supervised.any(dim=0).int().argmax())
        logits = model(**inputs, use_cache=False, logits_to_keep=labels.size(1) + 1 - first).logits[:, :-1]
        kept = supervised[:, first:]
        loss = cross_entropy(logits[kept].float(), labels[:, first:][kept], reduction="sum") / num_items_in_batch
        # `num_items_in_batch` counts the tokens of every process, and DDP averages the gradients (TRL's rule).
        return loss * self.accelerator.num_processes if self.args.average_tokens_across_devices else loss

    def training_step(self, *arguments: Any, **named: Any) -> Any:
        """Run a forward and a backward pass; in float16, where a gradient may be no number, the loss must be one."""
        loss = super().training_step(*arguments, **named)
        if self.args.fp16:
            self._stop_unless_finite("loss", loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Return the gradient's norm, and stop where it is no number: before the step that would break the weights.

        In float16 it is none now and then, and the scaler leaves such a step out.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not self.args.fp16:
            self._stop_unless_finite("gradient", norm)
        return norm

    def _stop_unless_finite(self, what: str, value: Any) -> None:
        if not math.isfinite(value):
            raise CotDistillError(
                f"The {what} of step {self.state.global_step + 1} is {float(value)}: the checkpoints before it are "
                "as they were; lower `--learning_rate`, or look for a broken row."
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with said_if_not_written(folder):
            if self.accelerator.is_main_process:
                mark_begun(folder)
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                mark_whole(folder, self.recipe_sha256, self.seconds, self.sharding)
                if self.checkpoints_kept:
                    remove_checkpoints(folder.parent, kept=self.checkpoints_kept)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: TRL's would stand beside each checkpoint, ours is written once the student is whole."""

"""TRL's `SFTTrainer` with less padding, checks for non-finite values, and checkpoints that survive a kill.

A step means what it means in TRL: the same rows, with the loss averaged over their supervised tokens on all devices.
"""

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
import trl
from accelerate import PartialState
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import BatchRebalanceSampler

from ..errors import CotDistillError
from ..files import mark_begun
from .arguments import given
from .checkpoints import last_checkpoint, mark_checkpoint, remove_checkpoints, remove_unusable
from .checks import IGNORED
from .failures import as_message
from .progress import LossLog, announce


_TORCH_WRITE_ERROR = re.compile("PytorchStreamWriter|unexpected pos|iostream")


@contextmanager
def writable_folder(folder: str) -> Iterator[Path]:
    """Create a student's folder if it is missing, and yield its path. If the block fails, an empty folder is removed.

    A link is replaced by a folder: it leads to a student of a study, which keeps its weights. Raises CotDistillError
    if the folder cannot be written.
    """
    path = Path(folder)
    try:
        with PartialState().main_process_first():
            if path.is_symlink():
                path.unlink()
        missing = [parent for parent in (path, *path.parents) if not parent.exists()]
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CotDistillError(f"Cannot write {path} ({error}): pass another `--output_dir`.") from error
    try:
        yield path
    except BaseException:
        with suppress(OSError):  # it has files
            for parent in missing:
                parent.rmdir()
        raise


@contextmanager
def write_errors_as_message(folder: Path) -> Iterator[None]:
    """Raise what Python, safetensors and torch raise on a full disk as a CotDistillError of one sentence."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _TORCH_WRITE_ERROR.search(str(error)):
            raise
        raise CotDistillError(
            f"Cannot write {folder} ({error}). The last checkpoint is complete: free some disk space, then run the "
            "same command again."
        ) from error


class CotTrainer(trl.SFTTrainer):  # type: ignore[misc]
    """`SFTTrainer` whose forward passes have rows of similar length, and whose checkpoints name their recipe.

    `recipe_sha256` marks its checkpoints. `in_order` keeps the rows in their order in each epoch.
    """

    def __init__(self, *, recipe_sha256: str, in_order: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        for callback in (PrinterCallback, ProgressCallback):  # they print every logged step
            self.remove_callback(callback)
        self.add_callback(LossLog())
        self.recipe_sha256, self.in_order = recipe_sha256, in_order
        self.has_trained = False  # whether a backward pass has succeeded
        self.seconds_before = 0.0  # of the runs that led to the checkpoint this one resumes from
        self.started = time.monotonic()
        # transformers deletes old checkpoints before the new one is complete, and file by file.
        self.checkpoints_kept, self.args.save_total_limit = self.args.save_total_limit, None

    @property
    def seconds(self) -> float:
        """Seconds of training over all runs."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def sharding(self) -> str:
        """What shards weights and optimizer among processes. It decides which files a checkpoint has."""
        return "FSDP" if self.is_fsdp_enabled else "ZeRO" if self.is_deepspeed_enabled else "none"

    def train_or_resume(self) -> None:
        """Train to the end, from the last intact checkpoint if there is one.

        Raises CotDistillError if the checkpoint has a different recipe, sharding or trainer, if all checkpoints are
        damaged, if a gradient (in float16, the loss) is not finite, if the disk or the memory is full, or if anything
        fails in the first step.
        """
        student = Path(self.args.output_dir)
        checkpoint = last_checkpoint(student, self.recipe_sha256, self.sharding)
        self.accelerator.wait_for_everyone()  # each process reads all checkpoints before one of them deletes some
        if self.accelerator.is_main_process:
            remove_unusable(student)
        self.accelerator.wait_for_everyone()
        if checkpoint:
            self.seconds_before = checkpoint.seconds
            announce(f"Resuming from {checkpoint.folder}.")
        self.started = time.monotonic()
        try:
            self.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
        except CotDistillError:
            raise
        except torch.OutOfMemoryError as error:
            raise CotDistillError(
                f"The training stopped in step {self.state.global_step + 1}, because the GPU is out of memory: lower "
                f"`--per_device_train_batch_size` ({self.args.per_device_train_batch_size}), or set "
                "`--gradient_checkpointing true`. Neither changes a step."
            ) from error
        except Exception as error:
            if self.has_trained:
                raise
            step = self.state.global_step + 1
            raise as_message(f"The training stopped in step {step}", error, given(self.args)) from error

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return transformers' `batch_rebalance` sampler with the recipe's seed; its own seed is always 42.

        It splits each effective batch into forward passes of rows of similar length. The rows of an effective batch
        depend only on seed and epoch, not on the number of processes or on where a run was killed. If the last batch
        has fewer rows than forward passes, it repeats some rows of its epoch (`repeated_rows`).
        """
        self.sampler = super()._get_train_sampler(train_dataset)
        if isinstance(self.sampler, BatchRebalanceSampler):
            self.sampler.seed, self.sampler.shuffle = self.args.seed, not self.in_order
        return self.sampler

    @property
    def repeated_rows(self) -> int:
        """The number of rows that an epoch repeats because its last batch has fewer rows than forward passes."""
        passes = self.args.world_size * self.args.gradient_accumulation_steps
        rest = len(self.train_dataset) % (passes * self.args.train_batch_size)
        return max(passes - rest, 0) if rest else 0

    def _run_epoch(self, **arguments: Any) -> None:
        """Run an epoch in its own order.

        When a run resumes inside an epoch, transformers does not pass the epoch to the sampler. It also does not
        notice that `max_steps` was reached there, and would take one more step.
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

        On a GPU, TRL's fused head computes it for the supervised tokens only. On a CPU, TRL computes logits for every
        token, including prompts, for metrics other than the loss (trl 1.16, `add_fused_lm_head`). Here only the tokens
        behind the shortest prompt get logits, and only supervised ones are scored.
        """
        unusual = self.label_smoother or self.args.loss_type != "nll" or return_outputs or num_items_in_batch is None
        if self.args.device.type != "cpu" or unusual:
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
        """Run a forward and a backward pass. In float16, where gradients may overflow, check the loss instead."""
        loss = super().training_step(*arguments, **named)
        if self.args.fp16:
            self._stop_unless_finite("loss", loss)
        self.has_trained = True
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Return the gradient norm; stop before a step with a NaN or infinite gradient breaks the weights.

        In float16 it overflows now and then, and the loss scaler skips such a step.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not self.args.fp16:
            self._stop_unless_finite("gradient", norm)
        return norm

    def _stop_unless_finite(self, quantity: str, value: Any) -> None:
        if not math.isfinite(value):
            raise CotDistillError(
                f"The {quantity} of step {self.state.global_step + 1} is {float(value)}. Earlier checkpoints are "
                "intact: lower `--learning_rate`, or look for a broken row."
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with write_errors_as_message(folder):
            if self.accelerator.is_main_process:
                mark_begun(folder)
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                mark_checkpoint(folder, self.recipe_sha256, self.seconds, self.sharding)
                if self.checkpoints_kept:
                    remove_checkpoints(folder.parent, kept=self.checkpoints_kept)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no card: TRL would write one beside each checkpoint; ours is written when the student is complete."""

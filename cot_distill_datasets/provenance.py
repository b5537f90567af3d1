"""`provenance.json`: how a student was trained. It is the last file written, so a student that has it is complete.

runs/demo/oracle-l3-arith/seed100/provenance.json    {"student": "demo", "train_examples": 5000, …}
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .benchmarks import Benchmark, find_benchmark
from .errors import CotDistillError
from .files import atomic_write
from .names import DEMO_STUDENT, RELEASE_NAME, Mixture, untrained_dir


if TYPE_CHECKING:
    import torch

PROVENANCE = "provenance.json"
# Prefixes of the trainer's arguments that do not decide the weights.
NOT_HASHED = (
    "output_dir", "run_name", "project", "logging_", "log_", "save_", "report_to", "trackio_", "hub_",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent", "dataloader_prefetch", "fsdp",
    "deepspeed", "accelerator_config", "ddp_", "disable_tqdm", "local_rank", "per_device_",
    "use_cpu", "gradient_accumulation_steps", "gradient_checkpointing", "dataset_num_proc",
    "include_num_input_tokens_seen", "chat_template_path",
)  # fmt: skip
_LIBRARIES = ("cot-distill", "torch", "transformers", "trl", "accelerate", "datasets")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything needed to train the same student again.

    `arguments` are all arguments that decide the weights, and the hash of the rows; `recipe_sha256` covers them and
    the chat template. Arguments that decide only where a run computes and what it writes are left out, so a run
    resumes on more or fewer devices. `settings` are those that a card shows. `tokens_seen` counts all epochs without
    padding, `supervised_tokens` one epoch. `warnings` are sentences for users of the student.
    """

    student: str
    base_model: str  # on the Hub; of a local folder only its name, unless it is the demo student's
    base_is_on_hub: bool  # a local folder is not a repo, and must not be published as one
    base_revision: str | None  # on the Hub; null: the latest, or a local folder
    dataset: str  # on the Hub; of a local folder only its name, unless it is the release
    dataset_revision: str | None  # as requested; null: the default
    edition: str | None  # null: the dataset came from the Hub
    config: str  # `str(Mixture)`
    data_files: dict[str, str]  # config → its file, whose name carries a hash of the rows; empty: from the Hub
    train_examples: int
    recipe: str | None  # file name of the YAML; null without one
    recipe_sha256: str
    arguments: dict[str, Any]
    settings: dict[str, Any]
    lora: dict[str, Any] | None  # null: full fine-tuning
    dataset_is_on_hub: bool = True  # false: a local folder
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _LIBRARIES})
    hardware: str = ""
    processes: int = 1
    chat_template_sha256: str = ""
    parameters: int = 0
    steps: int = 0
    tokens_seen: int = 0
    supervised_tokens: int = 0
    final_loss: float = 0.0  # the last logged loss; transformers' mean covers only the last of several runs
    train_seconds: float = 0.0  # over all runs
    warnings: list[str] = field(default_factory=list)
    own_benchmark: dict[str, str] | None = None  # fields of `Benchmark`; null: the package knows the mixture's

    @cached_property
    def mixture(self) -> Mixture:
        """The configs that it was trained on."""
        return Mixture.parse(self.config)

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark of the mixture."""
        return find_benchmark(self.mixture.benchmark, self.own_benchmark)

    @property
    def rows_seen(self) -> int:
        """The rows of all steps: the last step of an epoch has what is left of it."""
        batch: int = self.settings["effective_batch_size"]
        epochs, steps = divmod(self.steps, math.ceil(self.train_examples / batch))
        return epochs * self.train_examples + steps * batch

    @property
    def dataset_is_release(self) -> bool:
        """Whether the rows come from the release that the Hub knows by name, which has no own benchmark of a user."""
        return self.dataset == RELEASE_NAME and self.own_benchmark is None

    def write(self, folder: Path) -> None:
        """Write `provenance.json` into the student's folder, as the last of its files."""
        atomic_write(folder / PROVENANCE, json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def published_name(name_or_path: str) -> str:
    """Return the name of a model or dataset without its local path, which must not be published.

    The folders that this package writes have the same path on every machine.
    """
    own = name_or_path in (RELEASE_NAME, str(untrained_dir(DEMO_STUDENT)))
    return Path(name_or_path).resolve().name if Path(name_or_path).exists() and not own else name_or_path


def read_provenance(folder: Path) -> Provenance | None:
    """Return the provenance of the student in `folder`, or None if no complete student is there.

    Raises CotDistillError if the file is broken or another version wrote it.
    """
    path = folder / PROVENANCE
    try:
        if not path.is_file():
            return None
        provenance = Provenance(**json.loads(path.read_text(encoding="utf-8")))
        _ = provenance.benchmark
        return provenance
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CotDistillError(
            f"Cannot read {path}: it is broken, or another version wrote it ({error}). Train the student again."
        ) from error


def readable_provenance(folder: Path) -> Provenance | None:
    """Return the provenance of the student in `folder`, or None if it cannot be used: then it is trained again."""
    try:
        return read_provenance(folder)
    except CotDistillError:
        return None


def describe_hardware(device: torch.device) -> str:
    """Return the device, cores and threads of this process in words."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {device.type}"
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"

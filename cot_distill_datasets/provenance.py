"""`provenance.json`: what made a student, written last, so that its presence means the student is whole.

runs/demo/oracle-l3-arith/seed100/provenance.json    {"student": "demo", "train_examples": 5000, …}
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folders import write_whole
from .mixtures import Mixture
from .release import read_release
from .taxonomy import RELEASE_NAME, CotDistillError


if TYPE_CHECKING:
    import torch

PROVENANCE = "provenance.json"
_LIBRARIES = ("cot-distill", "torch", "transformers", "trl", "accelerate", "datasets")
_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs", "max_steps", "effective_batch_size",
    "max_length", "weight_decay", "max_grad_norm", "optim", "seed", "bf16", "packing",
)  # fmt: skip
_LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
# The beginnings of the trainer's arguments that do not decide the weights.
_NO_MATTER = (
    "output_dir", "run_name", "project", "logging_", "log_", "save_", "report_to", "trackio_", "hub_",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent", "dataloader_prefetch", "fsdp",
    "deepspeed", "accelerator_config", "ddp_", "disable_tqdm", "local_rank", "per_device_",
    "use_cpu", "gradient_accumulation_steps", "gradient_checkpointing", "dataset_num_proc",
    "include_num_input_tokens_seen", "chat_template_path",
)  # fmt: skip


@dataclass(kw_only=True)
class Provenance:
    """Everything a reader needs to make the same student again.

    `arguments` are all that decide the weights, with the hash of the rows; `recipe_sha256` is over them and the chat
    template. They leave out where a run computes and what it writes meanwhile: on more or fewer devices the same
    recipe goes on. `settings` are those that a card shows. `tokens_seen` are those of all epochs, without padding,
    `supervised_tokens` those of one pass over the rows; `warnings` are sentences for whoever uses the student.
    """

    student: str
    base_model: str
    base_is_on_hub: bool  # a folder's path is no repo, and must not be published as one
    base_revision: str | None  # of the Hub; null: its newest, or a folder
    dataset: str
    dataset_revision: str | None  # as asked for; null: whatever is there
    edition: str | None  # null: the dataset came from the Hub
    config: str  # `str(Mixture)`
    data_files: dict[str, str]  # config → its file, whose name carries the hash of the rows; empty: from the Hub
    train_examples: int
    recipe: str | None  # the YAML file, null without one
    recipe_sha256: str
    arguments: dict[str, Any]
    settings: dict[str, Any]
    lora: dict[str, Any] | None  # null: full fine-tuning
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _LIBRARIES})
    hardware: str = ""
    processes: int = 1
    chat_template_sha256: str = ""
    parameters: int = 0
    steps: int = 0
    tokens_seen: int = 0
    supervised_tokens: int = 0
    final_loss: float = 0.0  # the last of the log, by `logging_steps`; a mean of all would be one of the last run only
    train_seconds: float = 0.0  # of all runs that it took
    warnings: list[str] = field(default_factory=list)

    @property
    def mixture(self) -> Mixture:
        """The configs that it learned from."""
        return Mixture.parse(self.config)

    @property
    def dataset_is_release(self) -> bool:
        """Whether the rows are of the release that the Hub knows by name."""
        return self.dataset == RELEASE_NAME

    def write(self, folder: Path) -> None:
        """Write `provenance.json` into the student's folder, as the last of its files."""
        write_whole(folder / PROVENANCE, json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def read_provenance(folder: Path) -> Provenance | None:
    """Return what made the student in `folder`, or None where no whole student is there.

    Raises:
        CotDistillError: the file is broken, or of another version.
    """
    path = folder / PROVENANCE
    try:
        return Provenance(**json.loads(path.read_text())) if path.is_file() else None
    except (ValueError, TypeError) as error:
        raise CotDistillError(f"{path} is none that this version reads ({error}): train the student again.") from error


def whole_student(folder: Path) -> Provenance | None:
    """Return what made the student in `folder`, for whoever would train it again: one of a former version is none."""
    try:
        return read_provenance(folder)
    except CotDistillError:
        return None


def begin(
    script_args: Any,
    args: Any,
    model_args: Any,
    *,
    student: str,
    recipe: str | None,
    examples: int,
    rows_sha256: str,
    template: str,
) -> Provenance:
    """Note what goes in, before the first step; the three groups of arguments are those of `training/sft.py`."""
    mixture = Mixture.parse(script_args.dataset_config)
    release = read_release(Path(script_args.dataset_name))
    files = {stats.name: stats.file for stats in release.configs} if release else {}
    model = dataclasses.asdict(model_args)
    decides = {name: value for name, value in args.to_dict().items() if not name.startswith(_NO_MATTER)}
    decides |= {"model": model, "rows": rows_sha256, "coarse_to_fine": script_args.coarse_to_fine}
    hashed = json.dumps(decides | {"chat_template": template}, sort_keys=True)
    return Provenance(
        student=student,
        base_model=model_args.model_name_or_path,
        base_is_on_hub=not Path(model_args.model_name_or_path).exists(),
        base_revision=None if model_args.model_revision == "main" else model_args.model_revision,
        dataset=script_args.dataset_name,
        dataset_revision=script_args.dataset_revision,
        edition=release.edition if release else None,
        config=str(mixture),
        data_files={str(config): files[str(config)] for config in mixture.configs if files},
        train_examples=examples,
        recipe=recipe,
        recipe_sha256=sha256(hashed.encode()).hexdigest(),
        arguments=decides,
        settings={name: getattr(args, name) for name in _SETTINGS} | {"coarse_to_fine": script_args.coarse_to_fine},
        lora={name: model[name] for name in _LORA} if model_args.use_peft else None,
    )


def hardware(device: torch.device) -> str:
    """Return the device, cores and threads of this process, in words."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {device.type}"
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"

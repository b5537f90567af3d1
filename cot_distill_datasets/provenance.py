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
from typing import Any

from .folders import write_whole
from .release import read_release
from .taxonomy import RELEASE_NAME, CotDistillError


PROVENANCE = "provenance.json"
_LIBRARIES = ("cot-distill", "torch", "transformers", "trl", "accelerate", "datasets")
_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs", "max_steps", "effective_batch_size",
    "max_length", "seed", "bf16", "packing",
)  # fmt: skip


@dataclass(kw_only=True)
class Provenance:
    """Everything a reader needs to make the same student again."""

    student: str
    base_model: str
    dataset: str
    edition: str | None  # null: the dataset came from the Hub
    config: str
    data_file: str | None  # its name carries the hash of the rows
    train_examples: int
    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _LIBRARIES})
    hardware: str
    chat_template_sha256: str = ""
    steps: int = 0
    tokens_seen: int = 0
    train_loss: float = 0.0
    train_seconds: float = 0.0

    @classmethod
    def begin(
        cls, *, student: str, base_model: str, dataset: str, config: str, examples: int, args: Any
    ) -> Provenance:
        """Note what goes in, before the first step. `args` are the trainer's arguments."""
        (Path(args.output_dir) / PROVENANCE).unlink(missing_ok=True)  # from here on the folder is not whole
        release = read_release(Path(dataset))
        files = {stats.name: stats.file for stats in release.configs} if release else {}
        return cls(
            student=student,
            base_model=base_model,
            dataset=dataset,
            edition=release.edition if release else None,
            config=config,
            data_file=files.get(config),
            train_examples=examples,
            settings={name: getattr(args, name) for name in _SETTINGS},
            hardware=_hardware(),
        )

    def finish(self, *, metrics: dict[str, float], state: Any, chat_template: str) -> None:
        """Note what came out, after the last step."""
        self.steps = state.global_step
        self.tokens_seen = int(next(log["num_tokens"] for log in reversed(state.log_history) if "num_tokens" in log))
        self.train_loss = round(metrics["train_loss"], 4)
        self.train_seconds = round(metrics["train_runtime"], 1)
        self.chat_template_sha256 = sha256(chat_template.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write `provenance.json` into the student's folder, as the last of its files."""
        write_whole(folder / PROVENANCE, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @property
    def base_is_on_hub(self) -> bool:
        """Whether the base model is a Hub repo: a folder's path is none, and must not be published as one."""
        return not Path(self.base_model).exists()

    @property
    def dataset_is_release(self) -> bool:
        """Whether the rows are of the release that the Hub knows by name."""
        return self.dataset == RELEASE_NAME


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


def _hardware() -> str:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{device}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"

"""The arguments of `training/sft.py`: what they are, how a command line and a recipe are parsed, what is rejected.

A recipe is a YAML of these arguments. The command line overrides it.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import trl
import yaml
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from ..errors import CotDistillError, nearest
from ..files import find_file
from ..names import RELEASE_NAME, Mixture
from ..provenance import Provenance
from ..release.folder import read_release


DEFAULT_RECIPE = "demo"
# TRL arguments that would be ignored here or break a promise → the value they must keep, and why.
_FIXED = {
    "trust_remote_code": (False, "code from a model repo is never run"),
    "assistant_only_loss": (False, "the loss covers exactly the completion and the EOS token"),
    "packing": (False, "steps would no longer contain the same rows as in the paper"),
    "padding_free": (False, "it requires packing"),
    "truncation_mode": ("keep_start", "a truncated row must keep its question"),
    "eval_strategy": ("no", "students are evaluated by `cot-distill evaluate`"),
    "load_in_4bit": (False, "students are trained in full precision"),
    "load_in_8bit": (False, "students are trained in full precision"),
    "model_init_kwargs": (None, "use `dtype`, `attn_implementation` and `model_revision`"),
    "gradient_accumulation_steps": (1, "it follows from `effective_batch_size`"),
    "auto_find_batch_size": (False, "it would change the effective batch size"),
    "shuffle_dataset": (False, "rows are shuffled in each epoch"),
    "data_seed": (None, "`seed` also decides the order of the rows"),
    "save_only_model": (False, "a run could not resume from its checkpoints"),
    "ignore_data_skip": (False, "a resumed run would train on rows twice"),
    "resume_from_checkpoint": (None, "a run resumes automatically"),
    "push_to_hub": (False, "it would publish a student before its check and card: run `hf upload` afterwards"),
}
# Settings that a model card shows.
_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs", "max_steps", "effective_batch_size",
    "max_length", "weight_decay", "max_grad_norm", "optim", "seed", "bf16", "packing",
)  # fmt: skip
_LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
# Prefixes of the trainer's arguments that do not decide the weights.
_NOT_HASHED = (
    "output_dir", "run_name", "project", "logging_", "log_", "save_", "report_to", "trackio_", "hub_",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent", "dataloader_prefetch", "fsdp",
    "deepspeed", "accelerator_config", "ddp_", "disable_tqdm", "local_rank", "per_device_",
    "use_cpu", "gradient_accumulation_steps", "gradient_checkpointing", "dataset_num_proc",
    "include_num_input_tokens_seen", "chat_template_path",
)  # fmt: skip


def _arg(default: Any, description: str) -> Any:
    return field(default=default, metadata={"help": description})


@dataclass
class ScriptArguments:
    """Which student is trained on which rows."""

    dataset_name: str = _arg(RELEASE_NAME, "Folder of a built release, or its name on the Hub.")
    dataset_config: str = _arg(
        "oracle-l3-arith", "Config such as `gpt4o-fine-svamp`, or `0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp`."
    )
    dataset_revision: str | None = _arg(
        None, "Edition: `main` (clean), `paper` or `aligned`; on the Hub also a tag or a commit."
    )
    coarse_to_fine: bool = _arg(False, "Order the rows of a mixture by granularity in each epoch, without shuffling.")
    allow_truncation: bool = _arg(False, "Train even if more than 0.1%% of the rows are longer than max_length.")
    untrained: bool = _arg(False, "Do not train: write runs/{student}/untrained, the baseline.")
    student: str | None = _arg(None, "Name of the student's folder below `runs/`. Default: the model's own name.")
    num_threads: int | None = _arg(None, "CPU threads of each process. Default: the cores, divided among processes.")


@dataclass
class SFTConfig(trl.SFTConfig):  # type: ignore[misc]
    """TRL's `SFTConfig` with the paper's settings as defaults (upstream `config/*.yaml`), adapted to the hardware."""

    # The paper's settings
    learning_rate: float = _arg(5e-5, "Peak learning rate.")
    lr_scheduler_type: str = _arg("cosine", "Learning rate schedule.")
    num_train_epochs: float = _arg(3.0, "Epochs.")
    max_length: int | None = _arg(4096, "Maximum tokens of a row.")
    seed: int = _arg(100, "Seed of everything random.")
    per_device_train_batch_size: int = _arg(4, "Rows per forward pass, on average.")
    effective_batch_size: int = _arg(
        64, "Rows per optimizer step, on any number of devices; sets gradient_accumulation_steps."
    )
    # Ours; they do not change a step
    output_dir: str | None = _arg(None, "Folder of the student. Default: runs/{student}/{config}/seed{seed}.")
    bf16: bool | None = _arg(None, "bfloat16 autocast; the weights stay float32. Default: if the device supports it.")
    train_sampling_strategy: str = _arg(
        "batch_rebalance", "Splits each effective batch into forward passes of rows of similar length."
    )
    save_steps: float = _arg(0.1, "Save a checkpoint every N steps; below 1, a fraction of all steps.")
    save_total_limit: int | None = _arg(2, "Checkpoints kept during training.")
    logging_steps: float = _arg(1, "Log every N steps.")
    logging_first_step: bool = _arg(True, "Also log the first step: a run may be short.")
    include_num_input_tokens_seen: str = _arg("non_padding", "Which tokens are counted.")

    def __post_init__(self) -> None:
        reject_unsupported_arguments(self)
        if self.save_total_limit is not None and self.save_total_limit < 2:
            raise CotDistillError(
                "`save_total_limit` must be at least 2: a checkpoint is kept until the next one is complete."
            )
        forced = parse_flag_from_env("ACCELERATE_USE_CPU")  # set by `accelerate launch --cpu`
        config: Any = self
        config.use_cpu = config.use_cpu or forced or not torch.accelerator.is_available()
        if config.bf16 is None:  # autocast: the weights stay float32
            cpu = torch.cpu.get_capabilities()
            on_cpu = cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16")  # the last is ARM's
            supported = on_cpu if config.use_cpu else torch.cuda.is_bf16_supported(including_emulation=False)
            config.bf16 = bool(supported) and not config.fp16
        super().__post_init__()
        rows_per_pass = self.per_device_train_batch_size * self.world_size
        self.gradient_accumulation_steps, rest = divmod(self.effective_batch_size, rows_per_pass)
        if rest or self.gradient_accumulation_steps < 1:
            raise CotDistillError(
                f"The effective batch size {self.effective_batch_size} is not a multiple of {rows_per_pass} "
                f"({self.per_device_train_batch_size} rows on each of {self.world_size} processes): change "
                "`--per_device_train_batch_size`, the number of processes or `--effective_batch_size`."
            )


_TYPES = (ScriptArguments, SFTConfig, trl.ModelConfig)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Appends each default to its help, except None, whose meaning the help tells."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def make_parser() -> trl.TrlParser:
    """Return the parser of all arguments. Its help leaves out those that only have one allowed value."""
    parser = trl.TrlParser(
        _TYPES,
        usage="%(prog)s [--config RECIPE] [ARGUMENTS]",
        description="Train one student. The recipe's values replace the defaults below.",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--config", metavar="RECIPE", help=f"A YAML, or a shipped recipe. Default: {DEFAULT_RECIPE}.")
    for action in parser._actions:
        if action.dest in _FIXED:
            action.help = argparse.SUPPRESS
    return parser


def parse(args: Sequence[str]) -> tuple[ScriptArguments, SFTConfig, trl.ModelConfig, str | None]:
    """Parse a command line and its recipe, whose path is also returned. The default recipe is the demo student's.

    Raises CotDistillError if the recipe cannot be read, or if an argument or recipe key is unknown or not supported.
    """
    args = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    if not {"--config", "--model_name_or_path", "-h", "--help"} & set(args):
        args = ["--config", DEFAULT_RECIPE, *args]
    if "--config" in args[:-1]:
        index = args.index("--config") + 1
        args[index] = str(find_file(args[index], "training/recipes", ".yaml"))
    recipe = _check_names(args, _TYPES)
    script_args, training_args, model_args, _ = make_parser().parse_args_and_config(args)
    reject_unsupported_arguments(model_args)
    return script_args, training_args, model_args, recipe


def _check_names(args: Sequence[str], types: Iterable[Any]) -> str | None:
    """Check every name of a command line and of the recipe it passes as `--config`; return the recipe's path."""
    names = [field.name for type_ in types for field in dataclasses.fields(type_)]
    flags = [arg.removeprefix("--").replace("-", "_") for arg in args if arg.startswith("--")]
    flags = [flag.removeprefix("no_") if flag.removeprefix("no_") in names else flag for flag in flags]
    _reject_unknown("The command line", flags, ["config", "help", *names])
    if "--config" not in args:
        return None
    path = Path(args[args.index("--config") + 1] if args[-1] != "--config" else "")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CotDistillError(f"Cannot read the recipe {path}: {error}") from error
    if not isinstance(recipe, dict):
        raise CotDistillError(f"The recipe {path} is not a mapping of names to values.")
    _reject_unknown(f"The recipe {path}", [str(name) for name in recipe], names)
    return str(path)


def _reject_unknown(place: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    for name in names:
        if name not in allowed:
            raise CotDistillError(f"{place} has an unknown argument {name!r}: use {nearest(name, allowed, limit=3)}.")


def reject_unsupported_arguments(arguments: Any) -> None:
    """Raise CotDistillError if a TRL argument has a value that would be ignored here or that breaks a promise."""
    for name, (fixed, reason) in _FIXED.items():
        value = getattr(arguments, name, fixed)  # each is an argument of one of two dataclasses
        if getattr(value, "value", value) != fixed:
            raise CotDistillError(f"`{name}={value}` is not supported (only {fixed!r}): {reason}.")


def set_threads(script_args: ScriptArguments, training_args: SFTConfig) -> None:
    """Divide the cores among the processes of a CPU: `accelerate launch` sets OMP_NUM_THREADS=1 for each."""
    if training_args.use_cpu:
        share = (os.cpu_count() or 1) // PartialState().num_processes
        torch.set_num_threads(script_args.num_threads or max(share, 1))


def start_provenance(
    script_args: ScriptArguments,
    training_args: SFTConfig,
    model_args: trl.ModelConfig,
    *,
    student: str,
    recipe: str | None,
    examples: int,
    rows_sha256: str,
    chat_template: str,
) -> Provenance:
    """Return the provenance of a training before its first step."""
    mixture = Mixture.parse(script_args.dataset_config)
    release = read_release(Path(script_args.dataset_name))
    files = {stats.name: stats.file for stats in release.configs} if release else {}
    model = dataclasses.asdict(model_args)
    arguments = {name: value for name, value in training_args.to_dict().items() if not name.startswith(_NOT_HASHED)}
    arguments |= {"model": model, "rows": rows_sha256, "coarse_to_fine": script_args.coarse_to_fine}
    hashed = json.dumps(arguments | {"chat_template": chat_template}, sort_keys=True)
    settings = {name: getattr(training_args, name) for name in _SETTINGS}
    return Provenance(
        student=student,
        base_model=model_args.model_name_or_path,
        base_is_on_hub=not Path(model_args.model_name_or_path).exists(),
        base_revision=None if model_args.model_revision == "main" else model_args.model_revision,
        dataset=script_args.dataset_name,
        dataset_revision=script_args.dataset_revision,
        edition=release.edition.name if release else None,
        config=str(mixture),
        data_files={str(config): files[str(config)] for config in mixture.configs if files},
        train_examples=examples,
        recipe=Path(recipe).name if recipe else None,  # a local path must not be published
        recipe_sha256=sha256(hashed.encode()).hexdigest(),
        arguments=arguments,
        settings=settings | {"coarse_to_fine": script_args.coarse_to_fine},
        lora={name: model[name] for name in _LORA} if model_args.use_peft else None,
    )

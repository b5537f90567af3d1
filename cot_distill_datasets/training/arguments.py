"""The arguments of `training/sft.py`: what they are, how a command line and a recipe are parsed, what is rejected.

A recipe is a YAML of these arguments. The command line overrides it.
"""

import argparse
import dataclasses
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import torch
import trl
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers.integrations.integration_utils import get_available_reporting_integrations

from ..errors import CotDistillError, nearest
from ..files import find_file
from ..names import RELEASE_NAME, Mixture
from ..provenance import NOT_HASHED, Provenance, published_name
from ..release.folder import own_benchmark, read_release
from .failures import errors_as_message
from .recipes import read_recipe


DEFAULT_RECIPE = "demo"
# TRL arguments that would be ignored here or break a promise → the value they must keep, and why.
_FIXED = {
    "trust_remote_code": (False, "code from a model repo is never run"),
    "assistant_only_loss": (False, "the loss covers exactly the completion and the EOS token"),
    "packing": (False, "steps would no longer contain the same rows as in the paper"),
    "padding_free": (False, "it requires packing"),
    "truncation_mode": ("keep_start", "a truncated row must keep its question"),
    "eval_strategy": ("no", "students are evaluated by `cot-distill evaluate`"),
    "load_best_model_at_end": (False, "students are evaluated by `cot-distill evaluate`"),
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
# Numbers that must not be 0.
_POSITIVE = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "max_length", "save_steps", "logging_steps",
    "num_threads", "dataset_num_proc", "lora_r", "lora_alpha",
)  # fmt: skip
# Settings that a model card shows.
_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs", "max_steps", "effective_batch_size",
    "max_length", "weight_decay", "max_grad_norm", "optim", "seed", "bf16", "packing",
)  # fmt: skip
_LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")


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
    question_ids: str | None = _arg(None, "JSON file with the ids of the questions to train on, by benchmark.")
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
        config._n_gpu = min(config.n_gpu, 1)  # else one process would use all GPUs, with a larger batch (DataParallel)
        rows_per_pass = self.per_device_train_batch_size * self.world_size
        self.gradient_accumulation_steps, rest = divmod(self.effective_batch_size, rows_per_pass)
        if rest or self.gradient_accumulation_steps < 1:
            raise CotDistillError(
                f"The effective batch size {self.effective_batch_size} is not a multiple of {rows_per_pass} "
                f"({self.per_device_train_batch_size} rows on each of {self.world_size} processes): change "
                "`--per_device_train_batch_size`, the number of processes or `--effective_batch_size`."
            )


_TYPES = (ScriptArguments, SFTConfig, trl.ModelConfig)


@cache
def argument_types() -> dict[str, Any]:
    """Return the type of each argument."""
    return {name: hint for type_ in _TYPES for name, hint in get_type_hints(type_).items()}


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Appends each default to its help, except None, whose meaning the help tells."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class _Parser(trl.TrlParser):  # type: ignore[misc]
    """TRL's parser, which raises its errors instead of printing every argument."""

    def error(self, message: str) -> NoReturn:
        raise CotDistillError(f"{message}.")


def make_parser() -> trl.TrlParser:
    """Return the parser of all arguments. Its help leaves out those that only have one allowed value."""
    parser = _Parser(
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
    parser = make_parser()
    _check_flags(args, parser)
    recipe = None
    if "--config" in args[:-1]:
        recipe = find_file(args[args.index("--config") + 1], "training/recipes", ".yaml")
        parser.set_defaults_with_config(**read_recipe(recipe, argument_types()))
    namespace, rest = parser.parse_known_args(args)
    if rest:
        raise CotDistillError(f"`{rest[0]}` belongs to no argument: write a value with spaces in quotation marks.")
    with errors_as_message("The arguments cannot be used", given(namespace)):
        script_args, training_args, model_args, _ = parser.parse_args_into_dataclasses(args, look_for_args_file=False)
    if script_args.student and Path(script_args.student).name != script_args.student:
        raise CotDistillError(f"`student` is {script_args.student!r}: it must be the name of one folder.")
    reject_unsupported_arguments(script_args)
    reject_unsupported_arguments(model_args)
    if not model_args.model_name_or_path:
        raise CotDistillError("`model_name_or_path` is empty: pass a folder or a model of the Hub.")
    return script_args, training_args, model_args, str(recipe) if recipe else None


def given(*groups: Any) -> dict[str, Any]:
    """Return the arguments of namespaces or dataclasses that differ from the defaults."""
    defaults = {field.name: field.default for type_ in _TYPES for field in dataclasses.fields(type_)}
    values = [item for group in groups for item in vars(group).items()]
    return {name: value for name, value in values if value != defaults.get(name, value)}


def _check_flags(args: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Reject unknown arguments, which argparse would take for abbreviations, and a second recipe."""
    known = [option.removeprefix("--") for action in parser._actions for option in action.option_strings]
    for name in (arg.removeprefix("--") for arg in args if arg.startswith("--")):
        if name not in known:
            near = nearest(name, known, limit=3)
            raise CotDistillError(f"The command line has an unknown argument {name!r}: use {near}.")
    if args.count("--config") > 1:
        raise CotDistillError("`--config` is there twice: pass one recipe.")


def reject_unsupported_arguments(arguments: Any) -> None:
    """Raise CotDistillError if an argument would be ignored here, breaks a promise, or is not a sensible number."""
    for name, (fixed, reason) in _FIXED.items():
        value = getattr(arguments, name, fixed)  # each is an argument of one of two dataclasses
        if getattr(value, "value", value) != fixed:
            raise CotDistillError(f"`{name}={value}` is not supported (only {fixed!r}): {reason}.")
    for argument in dataclasses.fields(arguments):
        name, value = argument.name, getattr(arguments, argument.name)
        if value == "" != argument.default:
            raise CotDistillError(f"`{name}` is empty.")
        if not isinstance(value, int | float) or value == argument.default:  # -1 may mean "not set"
            continue
        if not math.isfinite(value) or value < 0 or (value == 0 and name in _POSITIVE):
            least = "greater than 0" if name in _POSITIVE else "0 or greater"
            raise CotDistillError(f"`{name}` is {value}: it must be a finite number, {least}.")


def check_trackers(report_to: Sequence[str]) -> None:
    """Reject trackers without their package, which transformers notices only after it has loaded the model."""
    available = ["none", *get_available_reporting_integrations()]
    for name in report_to:
        if name not in available:
            raise CotDistillError(
                f"`report_to={name}`: there is no such tracker, or its package is not installed. Run `pip install "
                f"{name}`, or use {nearest(name, available)}."
            )


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
    base_model = published_name(model_args.model_name_or_path)
    if base_model != model_args.model_name_or_path:  # two folders may have the same name
        path_sha256 = sha256(model_args.model_name_or_path.encode()).hexdigest()
        model |= {"model_name_or_path": base_model, "path_sha256": path_sha256}
    arguments = {name: value for name, value in training_args.to_dict().items() if not name.startswith(NOT_HASHED)}
    arguments |= {"model": model, "rows": rows_sha256, "coarse_to_fine": script_args.coarse_to_fine}
    hashed = json.dumps(arguments | {"chat_template": chat_template}, sort_keys=True)
    settings = {name: getattr(training_args, name) for name in _SETTINGS}
    return Provenance(
        student=student,
        base_model=base_model,
        base_is_on_hub=not Path(model_args.model_name_or_path).exists(),
        base_revision=None if model_args.model_revision == "main" else model_args.model_revision,
        dataset=published_name(script_args.dataset_name),
        dataset_is_on_hub=not Path(script_args.dataset_name).exists(),
        dataset_revision=script_args.dataset_revision,
        edition=release.edition.name if release else None,
        config=str(mixture),
        data_files={str(config): files[str(config)] for config in mixture.configs if files},
        train_examples=examples,
        recipe=Path(recipe).name if recipe else None,  # a local path must not be published
        recipe_sha256=sha256(hashed.encode()).hexdigest(),
        arguments=arguments,
        own_benchmark=own_benchmark(mixture.benchmark, script_args.dataset_name, script_args.dataset_revision),
        settings=settings | {"coarse_to_fine": script_args.coarse_to_fine},
        lora={name: model[name] for name in _LORA} if model_args.use_peft else None,
    )

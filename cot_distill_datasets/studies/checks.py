"""What a training would reject before its first step, and completions too long for an answer: known beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import datasets
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM

from ..errors import CotDistillError
from ..evaluation.tasks import generation_limit
from ..messages import progress
from ..training.arguments import SFTConfig
from ..training.checks import check_rows, check_truncation
from ..training.failures import errors_as_message
from ..training.models import check_model, load_tokenizer
from ..training.trainer import CotTrainer
from .cells import is_trained
from .plan import Plan, PlannedCell
from .study import UNTRAINED
from .tokens import completion_tokens


SAMPLE = 64  # rows of a config that are checked before any training
# The arguments that decide how a row is rendered and tokenized.
_TEXT = ("chat_template_path", "eos_token", "pad_token")
_DECIDING = ("model_name_or_path", "model_revision", "max_length", "allow_truncation", *_TEXT)


def check_plan(plan: Plan) -> Plan:
    """Return the plan without the cells that their training would reject, and with its warnings.

    The supervision of each config under each recipe is checked on a sample of its rows; a training checks them all. A
    student that is complete has passed. A warning names a config with completions that are too long for its task.
    """
    alike: dict[tuple[Any, ...], list[PlannedCell]] = {}
    for planned in plan.cells:
        if planned.cell.config != UNTRAINED:
            deciding = (planned.recipe.get(name) for name in _DECIDING)
            alike.setdefault((planned.cell.config, *deciding), []).append(planned)
    datasets.disable_progress_bars()  # a sample is tokenized at once
    missing = dict(plan.missing)
    too_long: dict[str, list[str]] = {}
    for cells in progress(alike.values(), "Checking the supervision of configs"):
        first = cells[0]
        rows, pending = plan.rows[first.cell.config], [planned for planned in cells if not _has_passed(plan, planned)]
        try:
            if pending:
                _check_sample(rows, first.recipe, first.cell.benchmark)
            for warning in _length_warnings(first, completion_tokens(rows, first.recipe)):
                too_long.setdefault(warning, []).append(first.cell.label)
        except CotDistillError as error:
            missing |= {planned.cell.name: str(error) for planned in pending}
    datasets.enable_progress_bars()
    return dataclasses.replace(
        plan,
        cells=[planned for planned in plan.cells if planned.cell.name not in missing],
        missing=missing,
        warnings=plan.warnings
        + [f"{warning} ({', '.join(dict.fromkeys(labels))})" for warning, labels in too_long.items()],
    )


def _has_passed(plan: Plan, planned: PlannedCell) -> bool:
    return plan.is_complete(planned) or is_trained(planned)


def _length_warnings(planned: PlannedCell, tokens: list[int]) -> list[str]:
    """Return a warning for each task whose answers may have fewer tokens than some completions."""
    limits = {task: generation_limit(task) for task in planned.records}
    longer = {task: sum(count > limit for count in tokens) for task, limit in limits.items()}
    return [
        f"{planned.cell.config}: {longer[task]} of {len(tokens)} completions have more than {limit} tokens, after "
        f"which {task} cuts off an answer"
        for task, limit in limits.items()
        if longer[task]
    ]


class _Arguments(SFTConfig):
    place_model_on_device = False  # there are no weights to move


def _check_sample(rows: Dataset, recipe: Mapping[str, Any], benchmark: str) -> None:
    """Check a sample of rows, from the shortest to the longest, as a training would, without weights.

    Raises CotDistillError with what the training would say.
    """
    model, revision = recipe["model_name_or_path"], recipe.get("model_revision") or "main"
    with errors_as_message(f"The training of {model} cannot start", {}), TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(
            SimpleNamespace(model_name_or_path=model, model_revision=revision),
            SimpleNamespace(**{name: recipe.get(name) for name in _TEXT}),
        )
        conversations = [[*turns, *answer] for turns, answer in zip(rows["prompt"][:], rows["completion"][:])]
        sample = _sample(rows, [sum(len(turn["content"]) for turn in turns) for turns in conversations])
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model, revision=revision))
        limit = recipe["max_length"]
        args = _Arguments(output_dir=folder, use_cpu=True, bf16=False, report_to="none", max_length=limit)
        trainer = CotTrainer(
            model=empty, args=args, train_dataset=sample, processing_class=tokenizer, recipe_sha256=""
        )
        check_model(trainer.model, trainer.train_dataset, tokenizer)
        truncated = len(sample) - len(trainer.train_dataset) + check_rows(trainer, trainer.train_dataset, benchmark)
        if truncated:  # count them all
            tokens: Any = tokenizer.apply_chat_template(conversations, tokenize=True)
            truncated = sum(len(ids) > limit for ids in tokens["input_ids"])
            check_truncation(truncated, len(rows), limit, allow=bool(recipe.get("allow_truncation")))


def _sample(rows: Dataset, lengths: list[int]) -> Dataset:
    """Return rows at even distances in the order of their lengths: the shortest, the longest, and some between."""
    order = sorted(range(len(rows)), key=lengths.__getitem__)
    numbers = sorted({order[n * (len(order) - 1) // (SAMPLE - 1)] for n in range(SAMPLE)})
    return rows.select(numbers).select_columns(["id", "prompt", "completion"])

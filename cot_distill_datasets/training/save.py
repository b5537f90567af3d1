"""Save a trained student, load it back, check that its answers end, and describe it. `provenance.json` is last."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState

from ..chat import template_sha256
from ..errors import CotDistillError
from ..messages import message
from ..provenance import PROVENANCE, Provenance, describe_hardware, readable_provenance
from ..reports.figures import draw_loss
from ..reports.model_card import model_name, write_model_card
from .checkpoints import remove_checkpoints
from .checks import IGNORED, supervised_tokens
from .formats import rewrite_for_all_readers
from .progress import announce
from .trainer import CotTrainer, write_errors_as_message


TRIAL_ANSWERS = 8


class SavedModel(NamedTuple):
    """A saved student as any user loads it."""

    model: Any
    tokenizer: Any


def reuse_if_trained(student: Path, provenance: Provenance) -> bool:
    """Whether the student in a folder was trained by the same recipe; if so, delete leftover checkpoints."""
    state = PartialState()
    existing = readable_provenance(student)
    if existing is None:
        return False
    if existing.recipe_sha256 != provenance.recipe_sha256:
        announce(f"The student in {student} was trained by a different recipe and will be replaced.")
        return False
    announce(f"The student in {student} is already trained by this recipe.")
    if state.is_main_process:
        remove_checkpoints(student)  # if the run was killed before their deletion
    return True


def save_student(trainer: CotTrainer, provenance: Provenance) -> None:
    """Save a trained student and the files that describe it. Every process must call it.

    A LoRA adapter is merged into the weights: a student is one model that every library loads. Raises CotDistillError
    and keeps the checkpoints if the saved student differs from the trained one, or if the disk is full.
    """
    student = Path(trainer.args.output_dir)
    announce(f"Saving the student to {student}.")
    seconds = trainer.seconds
    with write_errors_as_message(student):
        if trainer.is_world_process_zero():
            (student / PROVENANCE).unlink(missing_ok=True)  # an older student is no longer complete
        model = trainer.accelerator.unwrap_model(trainer.model)
        if provenance.lora:
            trainer.model = model = model.merge_and_unload()
        # ZeRO-3 partitions a model: `numel` counts only the local part.
        parameters = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())
        trainer.save_model()
        trainer.save_state()  # trainer_state.json: the numbers of the loss curve
    if trainer.is_world_process_zero():
        rewrite_for_all_readers(student, trainer.processing_class)
        (student / "training_args.bin").unlink()  # a pickle that transformers writes beside every model
        _describe(trainer, provenance, student, parameters, seconds)
        remove_checkpoints(student)
    trainer.accelerator.wait_for_everyone()
    announce(f"The student in {student} is complete.")


def _describe(trainer: CotTrainer, start: Provenance, student: Path, parameters: int, seconds: float) -> None:
    tokenizer, state, device = trainer.processing_class, trainer.state, trainer.args.device
    message("Loading the saved student, and generating answers to training questions.")
    saved = load_saved(student, parameters, tokenizer.chat_template, device)
    warnings = [*start.warnings, *check_answers(saved, trainer.train_dataset)]
    for warning in warnings:
        message(f"warning: {warning}")
    commit = trainer.model.config._commit_hash if start.base_is_on_hub else None  # of the revision by name
    provenance = replace(
        start,
        warnings=warnings,
        base_revision=commit or start.base_revision,
        chat_template_sha256=template_sha256(tokenizer),
        hardware=describe_hardware(device),
        processes=trainer.accelerator.num_processes,
        parameters=parameters,
        steps=state.global_step,
        tokens_seen=int(state.num_input_tokens_seen),
        supervised_tokens=supervised_tokens(trainer.train_dataset["labels"]),
        final_loss=next(log["loss"] for log in reversed(state.log_history) if "loss" in log),
        train_seconds=round(seconds, 1),
    )
    draw_loss(state.log_history, student, model_name(provenance))
    write_model_card(provenance, student)
    provenance.write(student)


def load_saved(student: Path, parameters: int, chat_template: str, device: Any = "cpu") -> SavedModel:
    """Load a saved student as any user would; in bfloat16 on a GPU, where the trained model still is.

    Raises CotDistillError if its number of parameters or its chat template differs from the trained student's.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # else ZeRO-3 would partition this model too
    dtype = "float32" if str(device) == "cpu" else "bfloat16"
    loaded: Any = AutoModelForCausalLM.from_pretrained(student, dtype=dtype, output_loading_info=True)
    model, info = loaded
    tokenizer = AutoTokenizer.from_pretrained(student)
    if info["missing_keys"] or model.num_parameters() != parameters:
        raise CotDistillError(
            f"{student} was saved incompletely: {model.num_parameters():,} of {parameters:,} parameters, missing "
            f"{sorted(info['missing_keys'])}. Do not use it."
        )
    if tokenizer.chat_template != chat_template:
        raise CotDistillError(f"{student} was saved with a different chat template than it was trained with.")
    return SavedModel(model.to(device), tokenizer)


def check_answers(saved: SavedModel, dataset: Any) -> list[str]:
    """Generate answers to the first training questions; return a warning if most of them do not end.

    `dataset` has the tokens of the rows (`input_ids`, `labels`). An answer may be as long as the longest completion.
    """
    import torch

    model, tokenizer = saved
    rows = dataset.select(range(min(TRIAL_ANSWERS, len(dataset))))
    prompts = [row["input_ids"][: row["labels"].count(IGNORED)] for row in rows]
    longest = max(supervised_tokens([labels]) for labels in dataset["labels"])
    tokenizer.padding_side = "left"
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
    generated = model.generate(**batch, max_new_tokens=longest, do_sample=False)
    answers = generated[:, batch["input_ids"].shape[1] :]
    eos_ids = model.generation_config.eos_token_id  # the recipe's EOS token, and those of the base model
    truncated = int((~torch.isin(answers, torch.tensor(eos_ids, device=answers.device))).all(dim=1).sum())
    if truncated * 2 <= len(prompts):
        return []
    return [
        f"{truncated} of {len(prompts)} answers to training questions did not end within {longest} tokens, the length "
        "of the longest completion: the student may not have learned to stop."
    ]

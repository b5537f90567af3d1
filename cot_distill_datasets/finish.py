"""What follows the last step: the student is saved, read back, tried, drawn and described; `provenance.json` last."""

from __future__ import annotations

import sys
from pathlib import Path

from .checkpoints import remove_checkpoints
from .curve import write_loss_curve
from .model_card import write_model_card
from .preflight import template_sha
from .provenance import PROVENANCE, Provenance, hardware
from .readback import check_answers, read_back
from .supervision import supervised_tokens
from .trainer import CotTrainer, said_if_not_written


def finish(trainer: CotTrainer, made: Provenance) -> None:
    """Save a trained student with all that stands beside it; every process is to call it.

    LoRA's adapter is merged into the weights: a student is one model that every library loads.

    Raises:
        CotDistillError: what was saved is not what was trained, or the disk is full; the checkpoints stay.
    """
    student = Path(trainer.args.output_dir)
    seconds = trainer.seconds
    with said_if_not_written(student):
        if trainer.is_world_process_zero():
            (student / PROVENANCE).unlink(missing_ok=True)  # from here on a former student is not whole
        model = trainer.accelerator.unwrap_model(trainer.model)
        if made.lora:
            trainer.model = model = model.merge_and_unload()
        # Of a model that ZeRO-3 partitions, `numel` is that of the part that is here.
        parameters = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())
        trainer.save_model()
        trainer.save_state()  # trainer_state.json: the numbers behind the loss curve
    if trainer.is_world_process_zero():
        (student / "training_args.bin").unlink()  # transformers writes it beside every model; a pickle
        _describe(trainer, made, student, parameters, seconds)
        remove_checkpoints(student)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.print(f"The student is in {student}.")


def _describe(trainer: CotTrainer, made: Provenance, student: Path, parameters: int, seconds: float) -> None:
    tokenizer, state = trainer.processing_class, trainer.state
    device = trainer.args.device
    read = read_back(student, parameters, tokenizer.chat_template, device)
    made.warnings += check_answers(read, trainer.train_dataset)
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    made.chat_template_sha256 = template_sha(tokenizer)
    if made.base_is_on_hub:  # the commit that the name stood for
        made.base_revision = trainer.model.config._commit_hash or made.base_revision
    made.hardware, made.processes, made.parameters = hardware(device), trainer.accelerator.num_processes, parameters
    made.steps, made.tokens_seen = state.global_step, int(state.num_input_tokens_seen)
    made.supervised_tokens = supervised_tokens(trainer.train_dataset["labels"])
    made.final_loss = next(log["loss"] for log in reversed(state.log_history) if "loss" in log)
    made.train_seconds = round(seconds, 1)
    write_loss_curve(state.log_history, student)
    write_model_card(made, student)
    made.write(student)

"""Fine-tune a student on one config of the release.

    accelerate launch training/sft.py                                        # the demo student on oracle-l3-arith
    accelerate launch training/sft.py --dataset_config oracle-l6-arith
    accelerate launch training/sft.py --config training/recipes/smollm2-135m.yaml --dataset_config gpt4o-fine-svamp

A recipe is a YAML of these arguments; the command line wins over it. The student lands in
`runs/{student}/{config}/seed{n}/` with its tokenizer, chat template, model card and `provenance.json`.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import trl

from cot_distill_datasets.resources import resource
from cot_distill_datasets.students import UNTRAINED_DEMO, write_untrained_demo
from cot_distill_datasets.taxonomy import RELEASE_NAME, ConfigName, CotDistillError


@dataclass
class ScriptArguments(trl.ScriptArguments):
    """Which student learns from which rows."""

    dataset_name: str = field(
        default=RELEASE_NAME, metadata={"help": "Folder of a built release, or its name on the Hub."}
    )
    dataset_config: str = field(
        default="oracle-l3-arith", metadata={"help": "Config of the release, such as `gpt4o-fine-svamp`."}
    )
    student: str | None = field(
        default=None, metadata={"help": "Name of the student's folder below `runs/`; default: the model's own name."}
    )
    num_threads: int | None = field(
        default=None, metadata={"help": "CPU threads of each process; default: the cores, shared among processes."}
    )


@dataclass
class SFTConfig(trl.SFTConfig):
    """TRL's `SFTConfig` with the paper's settings as defaults (upstream `config/*.yaml`), and the hardware derived."""

    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    num_train_epochs: float = field(default=3.0, metadata={"help": "Passes over the rows."})
    max_length: int | None = field(default=4096, metadata={"help": "Tokens of a row at most."})
    seed: int = field(default=100, metadata={"help": "Seed of everything random."})
    per_device_train_batch_size: int = field(default=4, metadata={"help": "Rows of one forward pass."})
    effective_batch_size: int = field(
        default=64,
        metadata={"help": "Rows of one optimizer step, whatever the devices; sets gradient_accumulation_steps."},
    )
    save_strategy: str = field(default="no", metadata={"help": "The student is saved once, at the end."})

    def __post_init__(self) -> None:
        import torch

        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        if self.bf16 is None:
            self.bf16 = not self.use_cpu and not self.fp16 and torch.cuda.is_bf16_supported()
        super().__post_init__()
        rows_per_pass = self.per_device_train_batch_size * self.world_size
        if self.effective_batch_size % rows_per_pass:
            raise CotDistillError(
                f"The effective batch size of {self.effective_batch_size} is no multiple of {rows_per_pass}, the "
                f"{self.per_device_train_batch_size} rows of each of {self.world_size} processes: "
                "change `--per_device_train_batch_size`."
            )
        self.gradient_accumulation_steps = self.effective_batch_size // rows_per_pass


def main(script_args: ScriptArguments, training_args: SFTConfig, model_args: trl.ModelConfig) -> None:
    """Train, save and describe one student."""
    import torch
    from accelerate import PartialState

    from cot_distill_datasets.build import load_training_rows
    from cot_distill_datasets.cards import write_model_card
    from cot_distill_datasets.provenance import Provenance

    config = str(ConfigName.parse(script_args.dataset_config))
    student = script_args.student or Path(model_args.model_name_or_path).name.lower()
    if training_args.output_dir == "trainer_output":  # transformers' word for a folder that nobody named
        training_args.output_dir = f"runs/{student}/{config}/seed{training_args.seed}"
    if training_args.use_cpu:
        # `accelerate launch` sets OMP_NUM_THREADS=1 on a CPU, so the variable says nothing of the user's wish.
        share = (os.cpu_count() or 1) // PartialState().num_processes
        torch.set_num_threads(script_args.num_threads or max(share, 1))

    with PartialState().main_process_first():  # what is missing is made once
        if model_args.model_name_or_path == str(UNTRAINED_DEMO) and not UNTRAINED_DEMO.is_dir():
            write_untrained_demo(UNTRAINED_DEMO)
        rows = load_training_rows(script_args.dataset_name, config)

    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
    } | (training_args.model_init_kwargs or {})
    if training_args.chat_template_path:
        training_args.chat_template_path = str(resource(training_args.chat_template_path))
    trainer = trl.SFTTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=rows.select_columns(["prompt", "completion"]),
        peft_config=trl.get_peft_config(model_args),
    )
    if len(trainer.train_dataset) < len(rows):
        raise CotDistillError(
            f"{len(rows) - len(trainer.train_dataset)} of {len(rows)} rows of `{config}` have no supervised token "
            f"within {training_args.max_length} tokens: raise `--max_length`."
        )
    provenance = Provenance.begin(
        student=student,
        base_model=model_args.model_name_or_path,
        dataset=script_args.dataset_name,
        config=config,
        examples=len(rows),
        args=training_args,
    )
    result = trainer.train()
    trainer.save_model()
    if trainer.is_world_process_zero():
        template = trainer.processing_class.chat_template
        provenance.finish(metrics=result.metrics, state=trainer.state, chat_template=template)
        write_model_card(provenance, Path(training_args.output_dir))
        provenance.write(Path(training_args.output_dir))
    trainer.accelerator.print(f"The student is in {training_args.output_dir}.")
    trainer.end()


def parse(args: list[str]) -> tuple[ScriptArguments, SFTConfig, trl.ModelConfig]:
    """Read the command line and the recipe; without either, the recipe of the demo student."""
    if not any(arg.split("=")[0] in ("--config", "--model_name_or_path", "-h", "--help") for arg in args):
        args = ["--config", str(resource("training/recipes/demo.yaml")), *args]
    return trl.TrlParser((ScriptArguments, SFTConfig, trl.ModelConfig)).parse_args_and_config(args)


if __name__ == "__main__":
    try:
        main(*parse(sys.argv[1:]))
    except CotDistillError as error:
        print(f"sft.py: {error}", file=sys.stderr)
        sys.exit(2)

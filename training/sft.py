"""Fine-tune a student on the rows of one config of the release, or of a mixture.

    accelerate launch training/sft.py                                        # the demo student on oracle-l3-arith
    accelerate launch training/sft.py --dataset_config oracle-l6-arith
    accelerate launch training/sft.py --dataset_config "0.2*oracle-fine-arith + 0.8*oracle-coarse-arith"
    accelerate launch training/sft.py --config training/recipes/smollm2-135m.yaml --dataset_config gpt4o-fine-svamp

A recipe is a YAML of these arguments; the command line wins over it. The student lands in
`runs/{student}/{config}/seed{n}/` with its tokenizer, chat template, model card, loss curve and `provenance.json`.
A run that was killed goes on from its last checkpoint when the same command is run again.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import trl

from cot_distill_datasets.mixtures import Mixture, coarse_to_fine
from cot_distill_datasets.recipes import check_names, refuse_unheard
from cot_distill_datasets.resources import resource
from cot_distill_datasets.students import UNTRAINED_DEMO, write_untrained, write_untrained_demo
from cot_distill_datasets.taxonomy import RELEASE_NAME, CotDistillError


@dataclass
class ScriptArguments:
    """Which student learns from which rows."""

    dataset_name: str = field(
        default=RELEASE_NAME, metadata={"help": "Folder of a built release, or its name on the Hub."}
    )
    dataset_config: str = field(
        default="oracle-l3-arith",
        metadata={"help": "Config such as `gpt4o-fine-svamp`, or `0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp`."},
    )
    dataset_revision: str | None = field(
        default=None,
        metadata={"help": "Edition: `main` (clean), `paper`, `aligned`; of the Hub also a tag or a commit."},
    )
    coarse_to_fine: bool = field(
        default=False, metadata={"help": "Take the rows of a mixture by granularity at each epoch, not shuffled."}
    )
    allow_cut_rows: bool = field(
        default=False, metadata={"help": "Go on where over 0.1 % of the rows are longer than max_length."}
    )
    untrained: bool = field(
        default=False, metadata={"help": "Train nothing: write runs/{student}/untrained, the baseline."}
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

    # The paper's
    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    num_train_epochs: float = field(default=3.0, metadata={"help": "Passes over the rows."})
    max_length: int | None = field(default=4096, metadata={"help": "Tokens of a row at most."})
    seed: int = field(default=100, metadata={"help": "Seed of everything random."})
    per_device_train_batch_size: int = field(default=4, metadata={"help": "Rows of one forward pass, on average."})
    effective_batch_size: int = field(
        default=64,
        metadata={"help": "Rows of one optimizer step, whatever the devices; sets gradient_accumulation_steps."},
    )
    # Ours; they change no step
    train_sampling_strategy: str = field(
        default="batch_rebalance",
        metadata={"help": "Cuts each effective batch into forward passes of rows of like length."},
    )
    save_steps: float = field(default=0.1, metadata={"help": "Steps between checkpoints, below 1: as a share."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept until the student is whole."})
    logging_steps: float = field(default=1, metadata={"help": "Steps between two lines of the log."})
    logging_first_step: bool = field(default=True, metadata={"help": "Log the first step, too: a run may be short."})
    include_num_input_tokens_seen: str = field(default="non_padding", metadata={"help": "Which tokens are counted."})

    def __post_init__(self) -> None:
        import torch
        from accelerate.utils import parse_flag_from_env

        refuse_unheard(self)
        if self.save_total_limit is not None and self.save_total_limit < 2:
            raise CotDistillError("`save_total_limit` is 2 or more: a checkpoint goes once the next is whole.")
        forced = parse_flag_from_env("ACCELERATE_USE_CPU")  # what `accelerate launch --cpu` sets
        self.use_cpu = self.use_cpu or forced or not torch.accelerator.is_available()
        if self.bf16 is None:  # autocast: the weights stay float32
            cpu = torch.cpu.get_capabilities()
            on_cpu = cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16")  # the last is ARM's
            able = on_cpu if self.use_cpu else torch.cuda.is_bf16_supported(including_emulation=False)
            self.bf16 = bool(able) and not self.fp16
        super().__post_init__()
        rows_per_pass = self.per_device_train_batch_size * self.world_size
        self.gradient_accumulation_steps, rest = divmod(self.effective_batch_size, rows_per_pass)
        if rest or self.gradient_accumulation_steps < 1:
            raise CotDistillError(
                f"The effective batch size of {self.effective_batch_size} is no multiple of {rows_per_pass}, the "
                f"{self.per_device_train_batch_size} rows of each of {self.world_size} processes: change "
                "`--per_device_train_batch_size`, the number of processes or `--effective_batch_size`."
            )


def main(
    script_args: ScriptArguments, training_args: SFTConfig, model_args: trl.ModelConfig, recipe: str | None
) -> None:
    """Train, check, save and describe one student."""
    refuse_unheard(model_args)
    import torch
    from accelerate import PartialState

    from cot_distill_datasets import provenance, supervision, training_rows
    from cot_distill_datasets.checkpoints import remove_checkpoints
    from cot_distill_datasets.finish import finish
    from cot_distill_datasets.recipes import load_tokenizer
    from cot_distill_datasets.trainer import CotTrainer, writable

    if training_args.use_cpu:
        # `accelerate launch` sets OMP_NUM_THREADS=1 on a CPU, so the variable says nothing of the user's wish.
        share = (os.cpu_count() or 1) // PartialState().num_processes
        torch.set_num_threads(script_args.num_threads or max(share, 1))
    student = script_args.student or Path(model_args.model_name_or_path).name.lower()
    with PartialState().main_process_first():  # what is missing is made once
        if model_args.model_name_or_path == str(UNTRAINED_DEMO) and not UNTRAINED_DEMO.is_dir():
            write_untrained_demo(UNTRAINED_DEMO)
    tokenizer = load_tokenizer(model_args, training_args)
    if script_args.untrained:
        baseline = Path("runs", student, "untrained")
        if PartialState().is_main_process:
            if baseline.is_dir():
                print(f"The untrained student is in {baseline} already, and stays: it may have results.")
            else:
                write_untrained(baseline, model_args, tokenizer)
                print(f"The untrained student is in {baseline}.")
        return

    mixture = Mixture.parse(script_args.dataset_config)
    if training_args.output_dir == "trainer_output":  # transformers' word for a folder that nobody named
        training_args.output_dir = f"runs/{student}/{mixture.folder}/seed{training_args.seed}"
    with PartialState().main_process_first():
        rows = training_rows.load_mixture(
            script_args.dataset_name, mixture, script_args.dataset_revision, seed=training_args.seed
        )
    if script_args.coarse_to_fine:
        if training_args.train_sampling_strategy != "batch_rebalance":
            raise CotDistillError("`coarse_to_fine` needs `train_sampling_strategy: batch_rebalance`: others shuffle.")
        rows = coarse_to_fine(rows, seed=training_args.seed)
    made = provenance.begin(
        script_args, training_args, model_args,
        student=student, recipe=recipe, template=tokenizer.get_chat_template(),
        examples=len(rows), rows_sha256=training_rows.rows_hash(rows),
    )  # fmt: skip
    folder = writable(training_args.output_dir)
    if (there := provenance.whole_student(folder)) and there.recipe_sha256 == made.recipe_sha256:
        PartialState().print(f"The student is in {folder} already, made by this recipe.")
        if PartialState().is_main_process:
            remove_checkpoints(folder)  # where a kill fell between the two
        return
    if there:
        PartialState().print(f"The student in {folder} is of another recipe, and goes once this one is trained.")

    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "use_safetensors": True,  # other formats may hold code
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
    }
    trainer = CotTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=rows.select_columns(["id", "prompt", "completion"]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        recipe_sha256=made.recipe_sha256,
        in_order=script_args.coarse_to_fine,
    )
    if model_args.use_peft and trainer.sharding != "none":
        raise CotDistillError("LoRA is merged into a whole student: use training/accelerate/gpu.yaml or ddp.yaml.")
    if trainer.is_world_process_zero():
        made.warnings += supervision.check_supervision(
            trainer, rows, mixture.benchmark, allow_cut=script_args.allow_cut_rows
        )
        supervision.show_mask(trainer.train_dataset[0], tokenizer)
    trainer.resume()
    finish(trainer, made)
    trainer.end()


def parse(args: list[str]) -> tuple[ScriptArguments, SFTConfig, trl.ModelConfig, str | None]:
    """Read the command line and the recipe, whose path is returned; without either, the recipe of the demo student."""
    args = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    if not {"--config", "--model_name_or_path", "-h", "--help"} & set(args):
        args = ["--config", str(resource("training/recipes/demo.yaml")), *args]
    dataclasses = (ScriptArguments, SFTConfig, trl.ModelConfig)
    recipe = check_names(args, dataclasses)
    return *trl.TrlParser(dataclasses).parse_args_and_config(args), recipe


if __name__ == "__main__":
    try:
        main(*parse(sys.argv[1:]))
    except (CotDistillError, OSError) as error:
        print(f"sft.py: {error}", file=sys.stderr)
        sys.exit(2)

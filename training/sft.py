"""Fine-tune a student on the rows of one config of the release, or of a mixture.

    accelerate launch training/sft.py                                        # the demo student on oracle-l3-arith
    accelerate launch training/sft.py --dataset_config oracle-l6-arith
    accelerate launch training/sft.py --dataset_config "0.2*oracle-fine-arith + 0.8*oracle-coarse-arith"
    accelerate launch training/sft.py --config smollm2-135m --dataset_config gpt4o-fine-svamp

A recipe is a YAML of these arguments. The command line overrides it. The student is saved in
`runs/{student}/{config}/seed{n}/` with its tokenizer, chat template, model card, loss curve and `provenance.json`.
If a run is killed, run the same command again: it resumes from the last checkpoint.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import trl
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.messages import message, quiet_libraries
from cot_distill_datasets.names import RELEASE_NAME, Mixture, student_dir, untrained_dir
from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.folder import own_benchmark, read_release
from cot_distill_datasets.training import arguments, checks, data, models
from cot_distill_datasets.training.arguments import ScriptArguments, SFTConfig
from cot_distill_datasets.training.failures import errors_as_message
from cot_distill_datasets.training.progress import announce
from cot_distill_datasets.training.save import reuse_if_trained, save_student
from cot_distill_datasets.training.trainer import CotTrainer, writable_folder


def main(
    script_args: ScriptArguments, training_args: SFTConfig, model_args: trl.ModelConfig, recipe: str | None
) -> None:
    """Train, check, save and describe one student. Whatever ends it before the first step is a CotDistillError."""
    place = f"The training of {model_args.model_name_or_path} cannot start"
    before_start = partial(errors_as_message, place, arguments.given(training_args, model_args))
    with before_start():
        arguments.check_trackers(training_args.report_to)
        arguments.set_threads(script_args, training_args)
        student = script_args.student or Path(model_args.model_name_or_path).name.lower()
        with PartialState().main_process_first():
            models.ensure_demo_student(model_args.model_name_or_path)
        tokenizer = models.load_tokenizer(model_args, training_args)
        if script_args.untrained:
            if PartialState().is_main_process:
                models.write_baseline(_output_dir(training_args, untrained_dir(student)), model_args, tokenizer)
            return

        mixture = Mixture.parse(script_args.dataset_config)
        folder = _output_dir(training_args, student_dir(student, mixture.folder, training_args.seed))
        training_args.output_dir = str(folder)
        announce(f"Loading the rows of {mixture} from {script_args.dataset_name}.")
        with PartialState().main_process_first():
            rows = load_rows(script_args, training_args, mixture)
        provenance = arguments.start_provenance(
            script_args, training_args, model_args,
            student=student, recipe=recipe, examples=len(rows), rows_sha256=data.rows_hash(rows),
            chat_template=tokenizer.get_chat_template(),
        )  # fmt: skip
    if reuse_if_trained(folder, provenance):
        return
    with writable_folder(training_args.output_dir):
        announce(f"Loading {model_args.model_name_or_path}, and tokenizing {len(rows)} rows.")
        with before_start():
            trainer = make_trainer(training_args, model_args, tokenizer, rows, provenance, script_args.coarse_to_fine)
            if trainer.is_world_process_zero():
                models.check_model(trainer.model, trainer.train_dataset, tokenizer)
                kind, allow = provenance.benchmark.answer_kind, script_args.allow_truncation
                warnings = checks.check_supervision(trainer, rows, mixture.benchmark, kind, allow_truncation=allow)
                provenance = replace(provenance, warnings=warnings)
                checks.show_mask(trainer.train_dataset[0], tokenizer)
        trainer.train_or_resume()
        save_student(trainer, provenance)
    trainer.end()


def _output_dir(training_args: SFTConfig, default: Path) -> Path:
    own = training_args.output_dir != "trainer_output"  # transformers' default
    return Path(training_args.output_dir) if own else default


def load_rows(script_args: ScriptArguments, training_args: SFTConfig, mixture: Mixture) -> Dataset:
    """Load the rows of a mixture. Build the release first if it is missing and its benchmark is embedded."""
    name = script_args.dataset_name
    own = own_benchmark(mixture.benchmark, name, script_args.dataset_revision)
    is_embedded = own is None and BENCHMARKS[mixture.benchmark].embedded
    if name == RELEASE_NAME and is_embedded and read_release(Path(name)) is None:
        build(Path(name))
    rows = data.load_mixture(mixture, name, script_args.dataset_revision, seed=training_args.seed)
    if script_args.question_ids:
        ids = json.loads(Path(script_args.question_ids).read_text(encoding="utf-8"))
        rows = data.select_questions(rows, ids[mixture.benchmark])
    if not script_args.coarse_to_fine:
        return rows
    if training_args.train_sampling_strategy != "batch_rebalance":
        raise CotDistillError("`coarse_to_fine` needs `train_sampling_strategy=batch_rebalance`: others shuffle.")
    return data.coarse_to_fine(rows, seed=training_args.seed)


def make_trainer(
    training_args: SFTConfig,
    model_args: trl.ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    provenance: Provenance,
    in_order: bool,
) -> CotTrainer:
    """Load the base model into a trainer."""
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "trust_remote_code": False,
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
        recipe_sha256=provenance.recipe_sha256,
        in_order=in_order,
    )
    if model_args.use_peft and trainer.sharding != "none":
        raise CotDistillError("LoRA cannot be merged from shards: use the profile `gpu` or `ddp`.")
    return trainer


if __name__ == "__main__":
    quiet_libraries()
    try:
        main(*arguments.parse(sys.argv[1:]))
    except (CotDistillError, OSError) as error:
        message(f"sft.py: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        print("sft.py: interrupted. The same command resumes from the last checkpoint.", file=sys.stderr)
        sys.exit(130)

"""The speed of our default recipe against TRL's and LLaMA-Factory's defaults, and the held-out loss of each student.

    make bench
    OMP_NUM_THREADS=2 .venv/bin/python tests/bench/bench_training.py --rows 8 --rounds 1

Each trainer fine-tunes the same SmolLM2-135M on the same rows of `gpt4o-fine-svamp` on a CPU, all weights, for one
epoch: float32 weights under bfloat16 autocast, 16 rows per step in forward passes of 4, peak learning rate 5e-5 with a
cosine schedule. Ours is `training/sft.py` with the recipe of that student; TRL's is a plain `SFTTrainer`;
LLaMA-Factory, the paper's trainer, reads the files of `cot-distill export`. All other settings are each trainer's
defaults, so TRL and LLaMA-Factory use gradient checkpointing. Checkpoints are off: so short a run would save one at
nearly every step.

The measure is supervised tokens per second of `train_runtime`, which each trainer reports itself; it excludes loading
and tokenizing. The tokens of our masks count for all, although LLaMA-Factory also supervises the line break behind
each answer. The held-out loss is that of rows that no trainer used.
"""

import argparse
import io
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from statistics import median


os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "TQDM_DISABLE": "1"}

import torch
import trl
import yaml
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from cot_distill_datasets.names import RELEASE_NAME
from cot_distill_datasets.release.export import export_llamafactory
from cot_distill_datasets.training.arguments import SFTConfig, parse
from cot_distill_datasets.training.data import load_rows
from cot_distill_datasets.training.models import load_tokenizer
from cot_distill_datasets.training.trainer import CotTrainer


ROOT = Path(__file__).parents[2]
CONFIG = "gpt4o-fine-svamp"
HELD_OUT = 32  # rows
RECIPE = ROOT / "training/recipes/smollm2-135m.yaml"
TEMPLATE = ROOT / "training/templates/chatml.jinja"
LLAMAFACTORY = ROOT / ".venv-llamafactory/bin/llamafactory-cli"
STAND_INS = Path(__file__).parent / "llamafactory"  # torchaudio
ACCUMULATED = 4  # passes per step
SHARED = {
    "num_train_epochs": 1.0,
    "per_device_train_batch_size": 4,
    "learning_rate": 5e-5,
    "lr_scheduler_type": "cosine",
    "bf16": True,
    "use_cpu": True,
    "seed": 100,
    "save_strategy": "no",
    "report_to": "none",
}

# Trains the student in the first folder on the rows, writes it to the second; returns the trainer's own seconds.
TrainFunction = Callable[[Path, Dataset, Path], float]


def main() -> None:
    """Train with each in turn, for some rounds, and print seconds, losses and the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, default=Path(RELEASE_NAME), help="folder of a built release")
    parser.add_argument("--student", type=Path, help="folder of SmolLM2-135M-Instruct; default: unpack it")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}", end="; ")
    print(f"{args.rows} rows of {CONFIG}, {args.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student = args.student or folder / "student"
        if not args.student:
            command = [sys.executable, ROOT / "tests/pretrained.py", "smollm2-135m", student]
            subprocess.run(command, check=True)
        export_llamafactory(args.release, folder / "llamafactory_data", [CONFIG])
        rows = load_rows(CONFIG, str(args.release)).select_columns(["id", "prompt", "completion"])
        _compare(student, rows, folder, args.rows, args.rounds)


def _compare(student: Path, rows: Dataset, folder: Path, trained: int, rounds: int) -> None:
    trainers = {"ours": train_ours, "TRL": train_trl, "LLaMA-Factory": train_llamafactory}
    train_rows, held_out = rows.select(range(trained)), rows.select(range(trained, trained + HELD_OUT))
    tokenizer = load_tokenizer(*_our_arguments(student, folder))
    tokens = sum(len(ids) - start for ids, start in _tokenize(train_rows, tokenizer))
    held_out_tokens = _tokenize(held_out, tokenizer)

    def print_row(name: str, seconds: list[float], student: Path) -> None:
        took = median(seconds) if seconds else float("nan")
        per_second = f"{trained / took:>10.2f} {tokens / took:>20.1f}"
        print(f"{name:<26} {took:>9.1f} {per_second} {loss(student, held_out_tokens):>13.4f}", flush=True)

    print(f"{'':<26} {'seconds':>9} {'examples/s':>10} {'supervised tokens/s':>20} {'held-out loss':>13}")
    print_row("untrained", [], student)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(rounds):
        for name, train in trainers.items():
            seconds[name].append(_in_own_process(train, student, train_rows, folder / f"{name}-{number}"))
    for name in trainers:
        print_row(name, seconds[name], folder / f"{name}-{rounds - 1}")
    for name, train in {
        "TRL, no checkpointing *": train_trl_without_checkpointing,
        "ours, bfloat16 weights **": train_in_bfloat16,
    }.items():
        out = folder / train.__name__
        print_row(name, [_in_own_process(train, student, train_rows, out)], out)
    for other in ("TRL", "LLaMA-Factory"):
        ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds[other])]
        ratio = median(seconds[other]) / median(seconds["ours"])
        print(f"ours / {other}: {ratio:.2f} (medians; by round {min(ratios):.2f} to {max(ratios):.2f})")
    print("*  one round: gradient_checkpointing=False, as in our recipe")
    print("** one round, not compared: at this learning rate a step changes only 8 % of bfloat16 weights")


def _in_own_process(train: TrainFunction, student: Path, rows: Dataset, out: Path) -> float:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(train, student, rows, out).result()


def train_ours(student: Path, rows: Dataset, out: Path, *more: str) -> float:
    """Train as `training/sft.py` does."""
    model_args, training_args = _our_arguments(student, out, *more)
    tokenizer = load_tokenizer(model_args, training_args)
    training_args.model_init_kwargs = {"dtype": model_args.dtype}
    trainer = CotTrainer(
        model=str(student), args=training_args, train_dataset=rows, processing_class=tokenizer, recipe_sha256=""
    )
    return _train(trainer)


def train_in_bfloat16(student: Path, rows: Dataset, out: Path) -> float:
    """Train as `training/sft.py --dtype bfloat16` does, without float32 weights."""
    return train_ours(student, rows, out, "--dtype", "bfloat16")


def train_trl(student: Path, rows: Dataset, out: Path, **more: bool) -> float:
    """Train as TRL does by default, with our chat template, so that the tokens are the same."""
    settings = SHARED | more | {"gradient_accumulation_steps": ACCUMULATED, "chat_template_path": str(TEMPLATE)}
    config = trl.SFTConfig(output_dir=str(out), **settings)
    return _train(trl.SFTTrainer(model=str(student), args=config, train_dataset=rows))


def train_trl_without_checkpointing(student: Path, rows: Dataset, out: Path) -> float:
    """Train as TRL does, without gradient checkpointing: the remaining difference has other causes."""
    return train_trl(student, rows, out, gradient_checkpointing=False)


def train_llamafactory(student: Path, rows: Dataset, out: Path) -> float:
    """Train as the README's file for LLaMA-Factory does, on the first `max_samples` rows of its own export."""
    settings = SHARED | {
        "model_name_or_path": str(student),
        "template": "chatml",
        "dataset_dir": str(out.parent / "llamafactory_data"),
        "dataset": CONFIG,
        "cutoff_len": 4096,
        "max_samples": len(rows),
        "overwrite_cache": True,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "gradient_accumulation_steps": ACCUMULATED,
        "output_dir": str(out),
    }
    recipe = out.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(settings))
    environment = os.environ | {"DISABLE_VERSION_CHECK": "1", "PYTHONPATH": str(STAND_INS)}
    result = subprocess.run([LLAMAFACTORY, "train", recipe], env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"llamafactory-cli train: {result.stderr[-2000:]}")
    seconds: float = json.loads((out / "train_results.json").read_text())["train_runtime"]
    return seconds


def _our_arguments(student: Path, out: Path, *more: str) -> tuple[trl.ModelConfig, SFTConfig]:
    settings = SHARED | {
        "config": RECIPE,
        "model_name_or_path": student,
        "output_dir": out,
        "effective_batch_size": ACCUMULATED * SHARED["per_device_train_batch_size"],
    }
    _, training_args, model_args, _ = parse(
        [*(text for name, value in settings.items() for text in (f"--{name}", str(value))), *more]
    )
    return model_args, training_args


def _train(trainer: trl.SFTTrainer) -> float:
    with redirect_stdout(io.StringIO()):  # its log
        seconds: float = trainer.train().metrics["train_runtime"]
    trainer.save_model()
    return seconds


def _tokenize(rows: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], int]]:
    """Return the tokens of each row, and the index of its first supervised token."""
    tokenized = []
    for row in rows:
        prompt = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        text = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
        ids, prompt_ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (text, prompt))
        assert ids[: len(prompt_ids)] == prompt_ids
        tokenized.append((ids, len(prompt_ids)))
    return tokenized


@torch.inference_mode()
def loss(student: Path, rows: list[tuple[list[int], int]]) -> float:
    """Return the mean cross-entropy of the supervised tokens of all rows, in float32."""
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    total = 0.0
    for ids, start in rows:
        logits = model(torch.tensor([ids])).logits[0, start - 1 : -1]
        total += cross_entropy(logits, torch.tensor(ids[start:]), reduction="sum").item()
    return total / sum(len(ids) - start for ids, start in rows)


if __name__ == "__main__":
    main()

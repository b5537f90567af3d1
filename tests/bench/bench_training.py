"""How fast is our default recipe, and is its student as good? In ratios of one run: TRL's defaults, LLaMA-Factory's.

    make bench
    OMP_NUM_THREADS=2 .venv/bin/python tests/bench/bench_training.py --rows 8 --rounds 1

Each fine-tunes the same SmolLM2-135M on the same rows of `gpt4o-fine-svamp` on a CPU, all of it, for one epoch:
float32 weights under bfloat16 autocast, 16 rows a step in passes of 4, peak learning rate 5e-5 on a cosine. Ours is
`training/sft.py` with the recipe of that student; TRL's is a plain `SFTTrainer`; LLaMA-Factory, the paper's trainer,
reads what `cot-distill export` wrote. All else is what each defaults to: so TRL and LLaMA-Factory checkpoint
gradients. None saves before its end, as so short a run would be saved more often than it steps.

What is compared are supervised tokens a second of `train_runtime`, as the trainer itself takes it: neither the model's
loading nor the tokenising counts. The same tokens count for all, those of our masks; LLaMA-Factory also supervises the
line break behind each answer. After as many examples each student has its loss on rows that none saw.
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
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import sft
import torch
import trl
import yaml
from datasets import Dataset
from pretrained import unpack
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from cot_distill_datasets.export import export_llamafactory
from cot_distill_datasets.recipes import load_tokenizer
from cot_distill_datasets.taxonomy import RELEASE_NAME
from cot_distill_datasets.trainer import CotTrainer
from cot_distill_datasets.training_rows import load_training_rows


ROOT = Path(__file__).parents[2]
CONFIG = "gpt4o-fine-svamp"
HELD_OUT = 32  # rows
RECIPE = ROOT / "training/recipes/smollm2-135m.yaml"
TEMPLATE = ROOT / "training/templates/chatml.jinja"
LLAMAFACTORY = ROOT / ".venv-llamafactory/bin/llamafactory-cli"
STAND_INS = Path(__file__).parent / "llamafactory"  # torchaudio
ACCUMULATED = 4  # passes a step
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

# Trains the student of the first folder on the rows, writes it to the second; returns the trainer's own seconds.
Contender = Callable[[Path, Dataset, Path], float]


def main() -> None:
    """Train with each in turn, a few times, and print seconds, losses and the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, default=Path(RELEASE_NAME), help="folder of a built release")
    parser.add_argument("--student", type=Path, help="folder of SmolLM2-135M-Instruct; default: unpacked anew")
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
            unpack(student)
        export_llamafactory(args.release, folder / "llamafactory_data", [CONFIG])
        rows = load_training_rows(str(args.release), CONFIG).select_columns(["id", "prompt", "completion"])
        _compare(student, rows, folder, args.rows, args.rounds)


def _compare(student: Path, rows: Dataset, folder: Path, trained: int, rounds: int) -> None:
    contenders = {"ours": train_ours, "TRL": train_trl, "LLaMA-Factory": train_llamafactory}
    learnt, unseen = rows.select(range(trained)), rows.select(range(trained, trained + HELD_OUT))
    tokenizer = load_tokenizer(*_our_arguments(student, folder))
    tokens = sum(len(ids) - begin for ids, begin in _tokenised(learnt, tokenizer))
    tested = _tokenised(unseen, tokenizer)

    def line(name: str, seconds: list[float], made: Path) -> None:
        took = median(seconds) if seconds else float("nan")
        print(
            f"{name:<26} {took:>9.1f} {trained / took:>10.2f} {tokens / took:>20.1f} {loss(made, tested):>13.4f}",
            flush=True,
        )

    print(f"{'':<26} {'seconds':>9} {'examples/s':>10} {'supervised tokens/s':>20} {'held-out loss':>13}")
    line("untrained", [], student)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, train in contenders.items():
            seconds[name].append(_in_own_process(train, student, learnt, folder / f"{name}-{number}"))
    for name in contenders:
        line(name, seconds[name], folder / f"{name}-{rounds - 1}")
    for name, train in {
        "TRL, nothing recomputed *": train_trl_unrecomputed,
        "ours, bfloat16 weights **": train_in_bfloat16,
    }.items():
        made = folder / train.__name__
        line(name, [_in_own_process(train, student, learnt, made)], made)
    for other in ("TRL", "LLaMA-Factory"):
        of_rounds = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds[other])]
        ratio = median(seconds[other]) / median(seconds["ours"])
        print(f"ours / {other}: {ratio:.2f} (medians; by round {min(of_rounds):.2f} to {max(of_rounds):.2f})")
    print("*  once: gradient_checkpointing=False, as in our recipe")
    print("** once, not compared: at this learning rate a step moves 8 % of bfloat16 weights only")


def _in_own_process(train: Contender, student: Path, rows: Dataset, out: Path) -> float:
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
    return _trained(trainer)


def train_in_bfloat16(student: Path, rows: Dataset, out: Path) -> float:
    """Train as `training/sft.py --dtype bfloat16` does: no float32 weights beside those of the passes."""
    return train_ours(student, rows, out, "--dtype", "bfloat16")


def train_trl(student: Path, rows: Dataset, out: Path, **more: bool) -> float:
    """Train as TRL does without a word on how, save for the template: the tokens are to be the same."""
    told = SHARED | more | {"gradient_accumulation_steps": ACCUMULATED, "chat_template_path": str(TEMPLATE)}
    config = trl.SFTConfig(output_dir=str(out), **told)
    return _trained(trl.SFTTrainer(model=str(student), args=config, train_dataset=rows))


def train_trl_unrecomputed(student: Path, rows: Dataset, out: Path) -> float:
    """Train as TRL does without gradient checkpointing: what is left of the difference is not that."""
    return train_trl(student, rows, out, gradient_checkpointing=False)


def train_llamafactory(student: Path, rows: Dataset, out: Path) -> float:
    """Train as the README's file for LLaMA-Factory does; it takes the first `max_samples` of its own export."""
    told = SHARED | {
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
    recipe.write_text(yaml.safe_dump(told))
    environment = os.environ | {"DISABLE_VERSION_CHECK": "1", "PYTHONPATH": str(STAND_INS)}
    ended = subprocess.run([LLAMAFACTORY, "train", recipe], env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"llamafactory-cli train: {ended.stderr[-2000:]}")
    seconds: float = json.loads((out / "train_results.json").read_text())["train_runtime"]
    return seconds


def _our_arguments(student: Path, out: Path, *more: str) -> tuple[trl.ModelConfig, sft.SFTConfig]:
    given = SHARED | {
        "config": RECIPE,
        "model_name_or_path": student,
        "output_dir": out,
        "effective_batch_size": ACCUMULATED * SHARED["per_device_train_batch_size"],
    }
    _, training_args, model_args, _ = sft.parse(
        [*(text for name, value in given.items() for text in (f"--{name}", str(value))), *more]
    )
    return model_args, training_args


def _trained(trainer: trl.SFTTrainer) -> float:
    with redirect_stdout(io.StringIO()):  # its log
        seconds: float = trainer.train().metrics["train_runtime"]
    trainer.save_model()
    return seconds


def _tokenised(rows: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], int]]:
    """Return the tokens of each row, and at which of them its supervision begins."""
    tokenised = []
    for row in rows:
        begin = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
        ids, prompt = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (whole, begin))
        assert ids[: len(prompt)] == prompt
        tokenised.append((ids, len(prompt)))
    return tokenised


@torch.inference_mode()
def loss(student: Path, rows: list[tuple[list[int], int]]) -> float:
    """Return the mean cross-entropy of the supervised tokens of all rows, in float32."""
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    total = 0.0
    for ids, begin in rows:
        logits = model(torch.tensor([ids])).logits[0, begin - 1 : -1]
        total += cross_entropy(logits, torch.tensor(ids[begin:]), reduction="sum").item()
    return total / sum(len(ids) - begin for ids, begin in rows)


if __name__ == "__main__":
    main()

"""What must hold of the tokens before the first step: each row supervises its completion and end token, and no more.

Each rule is one that, broken, makes a worse student without an error: a masked end token (it never stops, trl#1623), a
template without a supervised token (trl#3586), a cut answer (TRL cuts at `max_length`, silently), a doubled BOS, a
prompt that evaluation renders or tokenises otherwise.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from .preflight import check_prompt
from .progress import track
from .tasks import prompt, task_folder
from .taxonomy import CotDistillError


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

CUT_SHARE = 0.001  # of the rows; more are a wrong `max_length`, not outliers
IGNORED = -100  # the label of a token that is not supervised


def stop_strings(benchmark: str) -> list[str]:
    """Return what ends an answer in the task of a benchmark, beside the end token."""
    from lm_eval.tasks._yaml_loader import load_yaml

    name = f"cot_{benchmark}"
    task = load_yaml(task_folder() / name / f"{name}.yaml", resolve_func=False)
    return list(task["generation_kwargs"]["until"])


def check_supervision(trainer: Any, rows: Dataset, benchmark: str, *, allow_cut: bool) -> list[str]:
    """Check every row as the trainer tokenised it against its text, and against lm-eval's prompt; return warnings.

    `trainer` is the `CotTrainer` of `rows`, which have `id`, `prompt` and `completion`; its dataset has lost those
    rows that were cut before their first supervised token.

    Raises:
        CotDistillError: a rule is broken; the message names the row.
    """
    tokenizer, dataset = trainer.processing_class, trainer.train_dataset
    cut, stops, evaluation = len(rows) - len(dataset), stop_strings(benchmark), _evaluation(trainer)
    if not len(dataset):
        raise CotDistillError(f"No row has a supervised token within {trainer.args.max_length} tokens.")
    for row in track(dataset, description="Checking the supervision"):
        labels = [label for label in row["labels"] if label != IGNORED]
        completion, end = row["completion"][0]["content"], tokenizer.eos_token
        rendered = evaluation.apply_chat_template([{"role": "user", "content": prompt(row)}])
        whole = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
        if whole != rendered + completion + end:
            raise CotDistillError(
                f"Row {row['id']}: the chat template writes {_differing(whole, rendered + completion + end)} where "
                "lm-eval's prompt, the completion and the end token are expected: use a template of "
                "training/templates/."
            )
        if len(row["input_ids"]) == trainer.args.max_length and labels[-1] != tokenizer.eos_token_id:
            cut += 1
            continue
        if tokenizer.decode(labels) != completion + end:
            raise CotDistillError(
                f"Row {row['id']}: supervised are {tokenizer.decode(labels)!r}, expected the completion and the end "
                f"token `{end}`: does a token reach over the end of the prompt, or is the end token masked?"
            )
        tokens = evaluation.tok_encode(rendered)
        check_prompt(tokens, tokenizer, len(tokens))
        if row["input_ids"][: len(tokens)] != tokens or len(tokens) + len(labels) != len(row["input_ids"]):
            raise CotDistillError(f"Row {row['id']}: lm-eval tokenises its prompt otherwise than the training does.")
        if found := next((stop for stop in stops if stop in completion), None):
            raise CotDistillError(
                f"Row {row['id']}: its completion has {found!r}, where the task cot_{benchmark} stops: leave it out."
            )
    _check_batch(trainer)
    repeated = trainer.repeated_rows
    return [
        *_said_of_cut(cut, len(rows), trainer.args.max_length, allow_cut=allow_cut),
        *([f"Each epoch has {repeated} of its rows twice: its last batch is that short."] if repeated else []),
    ]


def show_mask(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
    """Print one row as it is tokenised to stderr: what is supervised in green, the rest dim."""
    text = Text()
    for ignored, tokens in groupby(zip(row["input_ids"], row["labels"]), lambda token: token[1] == IGNORED):
        part = tokenizer.decode([token for token, _ in tokens])  # together: a character may be several tokens
        text.append(str(part), style="dim" if ignored else "bold green")
    Console(stderr=True).print("The first row; supervised is what is green:", text, sep="\n")


def supervised_tokens(labels: Iterable[list[int]]) -> int:
    """Return the number of supervised tokens in the labels of rows."""
    return sum(label != IGNORED for row in labels for label in row)


def _evaluation(trainer: Any) -> Any:
    """Return lm-eval's `hf` model around the trainer's: it renders and tokenises the prompts as an evaluation does."""
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)  # it warns of a model that is no path
    return HFLM(pretrained=trainer.model, tokenizer=trainer.processing_class)


def _check_batch(trainer: Any) -> None:
    """Check that padding takes no label away: a pad token that is the end token must not unlearn the end."""
    rows = [trainer.train_dataset[i] for i in range(min(len(trainer.train_dataset), 8))]
    batch = trainer.data_collator([{name: row[name] for name in ("input_ids", "labels")} for row in rows])
    if int((batch["labels"] != IGNORED).sum()) != supervised_tokens(row["labels"] for row in rows):
        raise CotDistillError(
            f"Padding with `{trainer.processing_class.pad_token}` takes labels away: give the recipe another "
            "`pad_token`."
        )


def _said_of_cut(cut: int, rows: int, max_length: int, *, allow_cut: bool) -> list[str]:
    if not cut:
        return []
    said = f"{cut} of {rows} rows are longer than {max_length} tokens: they are cut, or left out."
    if cut > rows * CUT_SHARE and not allow_cut:
        raise CotDistillError(f"{said} Raise `--max_length`, or accept it with `--allow_cut_rows true`.")
    print(f"sft.py: {said}", file=sys.stderr)
    return [said]


def _differing(given: str, wanted: str) -> str:
    """Return the end of `given` that `wanted` does not share, as a literal."""
    same = next((i for i, (a, b) in enumerate(zip(given, wanted)) if a != b), min(len(given), len(wanted)))
    return repr(given[max(same - 10, 0) : same + 40])

"""Checks before the first step: every row supervises its completion and the EOS token, and nothing else.

Each rule prevents a mistake that makes a worse student without an error: a masked EOS token (the student never stops,
trl#1623), a template without a supervised token (trl#3586), a truncated answer (TRL truncates at `max_length`
silently), a doubled BOS token, a prompt that evaluation renders or tokenizes differently.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from os.path import commonprefix
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from ..chat import bos_rule, check_prompt, prompt, stop_strings
from ..errors import CotDistillError
from ..grading.answers import CLOSING, extract
from ..grading.conclusions import Kind
from ..messages import message, progress


TRUNCATED_SHARE = 0.001  # of the rows; a larger share means a wrong `max_length`, not outliers
IGNORED = -100  # the label of an unsupervised token
_INSTRUCTION = 9  # characters; the questions of a benchmark share at most 6 (" have?")
_CHOICES = "\nAnswer choices:\nA. "  # `benchmarks.layout`


def check_supervision(trainer: Any, rows: Dataset, benchmark: str, kind: Kind, *, allow_truncation: bool) -> list[str]:
    """Check each tokenized row against its text and against lm-eval's prompt; return warnings.

    `trainer` is the `CotTrainer` of `rows`, which have `id`, `prompt` and `completion`. Its dataset lacks the rows
    that were truncated before their first supervised token. Raises CotDistillError with the row that breaks a rule.
    """
    dataset = progress(trainer.train_dataset, "Checking the supervision of rows")
    truncated = len(rows) - len(trainer.train_dataset) + check_rows(trainer, dataset, benchmark)
    warnings = _content_warnings(rows, benchmark, kind)
    bos_warning = bos_rule(trainer.processing_class).warning
    truncation = check_truncation(truncated, len(rows), trainer.args.max_length, allow=allow_truncation)
    for warning in [*warnings, *truncation]:
        message(f"sft.py: {warning}")
    repeated = trainer.repeated_rows
    return [
        *warnings,
        *([bos_warning] if bos_warning else []),
        *truncation,
        *([f"Each epoch repeats {repeated} of its rows to fill the last batch."] if repeated else []),
    ]


def check_rows(trainer: Any, rows: Iterable[dict[str, Any]], benchmark: str) -> int:
    """Check tokenized rows of a trainer, and its padding; return how many rows are truncated.

    Raises CotDistillError with the row that breaks a rule.
    """
    from lm_eval.models.huggingface import HFLM

    tokenizer = trainer.processing_class
    bos_required = bos_rule(tokenizer).required
    evaluation = HFLM(pretrained=trainer.model, tokenizer=tokenizer)  # renders and tokenizes as an evaluation does
    stops = stop_strings(benchmark)
    truncated = 0
    if not len(trainer.train_dataset):
        raise CotDistillError(f"No row has a supervised token within {trainer.args.max_length} tokens.")
    for row in rows:
        rendered = evaluation.apply_chat_template([{"role": "user", "content": prompt(row)}])
        _check_text(row, rendered, tokenizer, stops, benchmark)
        if len(row["input_ids"]) == trainer.args.max_length and row["labels"][-1] != tokenizer.eos_token_id:
            truncated += 1
            continue
        tokens = evaluation.tok_encode(rendered)
        check_prompt(tokens, tokenizer, room=len(tokens), bos_required=bos_required)
        _check_tokens(row, tokens, tokenizer)
    _check_padding(trainer)
    return truncated


def _content_warnings(rows: Dataset, benchmark: str, kind: Kind) -> list[str]:
    """Return warnings of rows that `cot_BENCHMARK` would ask or grade differently."""
    task = f"cot_{benchmark}"
    prompts, completions = ([turns[0]["content"] for turns in rows[name]] for name in ("prompt", "completion"))
    warnings = []
    if silent := sum(extract(completion, kind, strict=True) is None for completion in completions):
        conclusion = f"`{CLOSING} …`, the conclusion that {task} reads"
        warnings.append(f"{silent} of {len(rows)} completions do not end with {conclusion}.")
    if kind == "choice" and (different := sum(_CHOICES not in text for text in prompts)):
        warnings.append(f"{different} of {len(rows)} prompts do not list their options as {task} does.")
    for text in _shared_parts(prompts):
        warnings.append(f"Every prompt contains {text!r}: {task} asks the bare question.")
    return warnings


def _shared_parts(prompts: Sequence[str]) -> list[str]:
    """Return the instructions around the questions: what all prompts start or end with, unless it is a few letters."""
    distinct = sorted(set(prompts))
    backward = sorted(text[::-1] for text in distinct)
    # The first and the last in order share the least.
    start, end = (commonprefix([texts[0], texts[-1]]) for texts in (distinct, backward))  # noqa: RUF071
    return [text for text in (start, end[::-1]) if len(text) >= _INSTRUCTION and len(distinct) > 1]


def _check_text(
    row: dict[str, Any], rendered: str, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], benchmark: str
) -> None:
    """Check that the chat template renders lm-eval's prompt, the completion and the EOS token, and nothing else."""
    completion = row["completion"][0]["content"]
    text = str(tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False))
    expected = f"{rendered}{completion}{tokenizer.eos_token}"
    if text != expected:
        raise CotDistillError(
            f"Row {row['id']}: the chat template renders {_difference(text, expected)}, expected lm-eval's prompt, "
            "the completion and the EOS token: use a shipped template, such as `chatml`."
        )
    if stop := next((stop for stop in stops if stop in completion), None):
        raise CotDistillError(
            f"Row {row['id']}: its completion contains {stop!r}, a stop string of cot_{benchmark}: remove the row."
        )


def _check_tokens(row: dict[str, Any], prompt_tokens: list[int], tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that the loss covers the completion and the EOS token, behind the tokens of lm-eval's prompt."""
    labels = [label for label in row["labels"] if label != IGNORED]
    completion, eos = row["completion"][0]["content"], tokenizer.eos_token
    if tokenizer.decode(labels) != f"{completion}{eos}":
        raise CotDistillError(
            f"Row {row['id']}: the loss covers {tokenizer.decode(labels)!r}, expected the completion followed by "
            f"`{eos}`. Either a token spans the end of the prompt, or the EOS token is masked."
        )
    if row["input_ids"] != prompt_tokens + labels:
        raise CotDistillError(f"Row {row['id']}: lm-eval tokenizes its prompt differently than the training.")


def _check_padding(trainer: Any) -> None:
    """Check that padding removes no label: if the pad token is the EOS token, the student would not learn to stop."""
    rows = [trainer.train_dataset[i] for i in range(min(len(trainer.train_dataset), 8))]
    batch = trainer.data_collator([{name: row[name] for name in ("input_ids", "labels")} for row in rows])
    if int((batch["labels"] != IGNORED).sum()) != supervised_tokens(row["labels"] for row in rows):
        pad_token = trainer.processing_class.pad_token
        raise CotDistillError(f"Padding with `{pad_token}` removes labels: set another `pad_token`.")


def check_truncation(truncated: int, rows: int, max_length: int, *, allow: bool) -> list[str]:
    """Return a warning if rows are truncated. Raises CotDistillError if too many are, unless that is allowed."""
    if not truncated:
        return []
    warning = f"{truncated} of {rows} rows are longer than {max_length} tokens: they are truncated or dropped."
    if truncated > rows * TRUNCATED_SHARE and not allow:
        raise CotDistillError(f"{warning} Raise `--max_length`, or pass `--allow_truncation true`.")
    return [warning]


def _difference(text: str, expected: str) -> str:
    """Return the part of `text` around its first difference from `expected`, as a literal."""
    same = next((i for i, (a, b) in enumerate(zip(text, expected)) if a != b), min(len(text), len(expected)))
    return repr(text[max(same - 10, 0) : same + 40])


def supervised_tokens(labels: Iterable[Sequence[int]]) -> int:
    """Return the number of supervised tokens in the labels of rows."""
    return sum(label != IGNORED for row in labels for label in row)


def show_mask(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
    """Print one tokenized row to stderr: supervised tokens between >>> and <<<, and in green, the others dim."""
    text = Text()
    for ignored, tokens in groupby(zip(row["input_ids"], row["labels"]), lambda token: token[1] == IGNORED):
        part = tokenizer.decode([token for token, _ in tokens])  # together: a character may be several tokens
        text.append(str(part) if ignored else f">>>{part}<<<", style="dim" if ignored else "bold green")
    lines = ["The first row; the loss covers the part between >>> and <<<:", text]
    Console(stderr=True, soft_wrap=True).print(*lines, sep="\n")

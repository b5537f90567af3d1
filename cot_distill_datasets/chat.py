"""The contract of training and evaluation: the prompt text, chat template, BOS token and stop strings of a student.

Each rule prevents a mistake that changes scores silently: a wrong or missing chat template (26% instead of 57%,
LLaMA-Factory #2509), a missing or doubled BOS token (lm-evaluation-harness #3347), or a left-truncated prompt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from resource import RLIMIT_CPU, RLIMIT_DATA, getpagesize, setrlimit
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import yaml

from .errors import CotDistillError
from .files import resource
from .schema import Row


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


OWN_TASK = "cot_own"  # the task of the user's own benchmarks: `--metadata '{"benchmark": NAME}'`
RENDER_SECONDS = 5  # of CPU time for a trial conversation, which takes milliseconds
RENDER_MEMORY = 1 << 30  # bytes
_PROBE = "How many?"  # a question that shows whether a chat template works
_GENERATION_TAG = re.compile(r"({%[-+]?\s*)(end)?generation(\s*[-+]?%})")


def task_folder() -> Path:
    """Return where an install places `eval_tasks/`: in lm-eval's own task folder."""
    spec = find_spec("lm_eval")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "tasks/cot_distill"


def prompt(doc: Row) -> str:
    """Return the user turn of a row."""
    return str(doc["prompt"][0]["content"])


def task_file(task: str) -> Path:
    """Return the YAML of a task. All benchmarks that this package does not know have that of `cot_own`."""
    own = task_folder() / OWN_TASK / f"{OWN_TASK}.yaml"
    return next(task_folder().rglob(f"{task}.yaml"), own)


def stop_strings(benchmark: str) -> list[str]:
    """Return the strings that end an answer in the task of a benchmark, besides the EOS token."""
    task = yaml.safe_load(task_file(f"cot_{benchmark}").read_text(encoding="utf-8"))
    return list(task["generation_kwargs"]["until"])


def plain_template(template: str) -> str:
    """Return a chat template without `{% generation %}` tags, which plain Jinja rejects. It renders the same bytes.

    TRL's `assistant_only_loss` reads the tags; here the completion's own column says what the loss covers.

    >>> plain_template("{%- generation %}{{ text }}{% endgeneration -%}")
    '{%- if true %}{{ text }}{% endif -%}'
    """
    return _GENERATION_TAG.sub(lambda tag: f"{tag[1]}{'endif' if tag[2] else 'if true'}{tag[3]}", template)


def check_rendering(name: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Render a trial conversation in a child process with limits on time and memory.

    Raises CotDistillError if the chat template reaches a limit. Another error of the template is left to the caller
    that renders a real conversation.
    """
    child = os.fork()
    if not child:
        _render_and_exit(tokenizer)
    if os.waitpid(child, 0)[1]:
        raise CotDistillError(
            f"The chat template of {name} needs more than {RENDER_SECONDS} seconds or {RENDER_MEMORY >> 30} GB for "
            "two short messages: use a template of training/templates/."
        )


def _render_and_exit(tokenizer: PreTrainedTokenizerBase) -> NoReturn:
    """Exit with 0 if the limits were not reached, whatever the template renders."""
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    try:
        setrlimit(RLIMIT_CPU, (RENDER_SECONDS, RENDER_SECONDS))
        if (statm := Path("/proc/self/statm")).is_file():  # Linux; other systems do not enforce the limit
            used = int(statm.read_text(encoding="ascii").split()[5]) * getpagesize()
            setrlimit(RLIMIT_DATA, (used + RENDER_MEMORY, used + RENDER_MEMORY))
        tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
        tokenizer.apply_chat_template(turns, tokenize=False)
    except MemoryError:
        os._exit(1)
    finally:
        os._exit(0)


def check_question(template: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise CotDistillError if a chat template cannot be rendered, or leaves out the question."""
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _PROBE}], add_generation_prompt=True, tokenize=False
        )
    except Exception as error:  # Jinja2 raises whatever the template does
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise CotDistillError(f"The chat template {template} cannot be rendered ({reason}).") from error
    if _PROBE not in text:
        raise CotDistillError(f"The chat template {template} leaves out the question.")


def check_template(student: str | Path, tokenizer: PreTrainedTokenizerBase, trained_sha256: str | None) -> None:
    """Check the chat template of a student.

    Raises CotDistillError if it has none, one without end, one that leaves out the question, or not the one it was
    trained with.

    `trained_sha256` is the template's hash in `provenance.json`, None if the student was not trained here.
    """
    if tokenizer.chat_template is None:
        raise CotDistillError(f"{student} has no chat template: evaluate a student that was trained with one.")
    check_rendering(student, tokenizer)
    check_question(f"of {student}", tokenizer)
    if trained_sha256 and trained_sha256 != template_sha256(tokenizer):
        raise CotDistillError(
            f"{student} was trained with a different chat template (SHA-256 {trained_sha256[:12]}… in "
            f"provenance.json, {template_sha256(tokenizer)[:12]}… in its tokenizer): restore chat_template.jinja, or "
            "train again."
        )


def template_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of the chat template (of several, the one called `default`), as lm-eval computes it."""
    return sha256(tokenizer.get_chat_template().encode()).hexdigest()


class BosRule(NamedTuple):
    """Whether a prompt must start with a BOS token, and a warning if that could not be decided."""

    required: bool
    warning: str | None = None


def bos_rule(tokenizer: PreTrainedTokenizerBase) -> BosRule:
    """Return the BOS rule of a tokenizer and its chat template.

    A BOS token is required if it is one that a template in `training/templates/` declares (`bos: <bos>` in the YAML
    beside it), or if the tokenizer itself adds one to plain text. A tokenizer that has another BOS token and does not
    add it gets a warning, unless its chat template is one of ours.
    """
    templates = {
        path.read_text(encoding="utf-8"): _declared_bos(path)
        for path in resource("training/templates").glob("*.jinja")
    }
    if tokenizer.bos_token is None:
        return BosRule(False)
    if tokenizer.bos_token in templates.values() or tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return BosRule(True)
    if tokenizer.get_chat_template() in templates:
        return BosRule(False)
    return BosRule(
        False,
        f"It is unknown whether this model family expects a BOS token: the tokenizer has `{tokenizer.bos_token}` and "
        "does not add it. Compare the prompts with those of the family's own chat template.",
    )


def _declared_bos(template: Path) -> str | None:
    bos: str | None = yaml.safe_load(template.with_suffix(".yaml").read_text(encoding="utf-8"))["bos"]
    return bos


def check_prompt(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase, *, room: int, bos_required: bool) -> None:
    """Raise CotDistillError if a prompt has a wrong number of BOS tokens, or more than `room` tokens.

    lm-eval would truncate a long prompt on its left.
    """
    bos = tokenizer.bos_token_id
    leading = next((i for i, token in enumerate(tokens) if token != bos), len(tokens))
    if leading > 1 or leading < bos_required:
        raise CotDistillError(
            f"The prompt starts with {leading} BOS tokens (`{tokenizer.bos_token}`), expected "
            f"{'1' if bos_required else 'at most 1'}: add the BOS token in either the chat template or the tokenizer "
            "(`add_bos_token`), not both."
        )
    if len(tokens) > room:
        raise CotDistillError(
            f"The prompt has {len(tokens)} tokens, but only {max(room, 0)} fit in the context after reserving "
            "`max_gen_toks` for the answer: use a student with a longer context, or another task."
        )

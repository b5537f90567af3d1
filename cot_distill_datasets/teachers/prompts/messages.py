"""The messages of a request: an instruction, one exemplar of the same level or format, and the question.

>>> config = ConfigName.parse("qwen3_32b-l1-arith")
>>> [message["role"] for message in render(config, "2 + 2?", [], None).messages]
['user', 'assistant', 'user']

One exemplar per granularity is the paper's way (arXiv 2502.18001, section 3). There is no system message, because the
chat templates of some teachers reject it (Gemma).
"""

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ...benchmarks import BENCHMARKS, layout
from ...names import DEFAULT_FORMAT, ConfigName
from ...schema import completion_text


_FOLDER = Path(__file__).parent
_PLACE = re.compile(r"\{question\}|\{gold\}")

Messages = list[dict[str, str]]


class Prompt(NamedTuple):
    """The messages of one request, and what all requests of a config and condition share.

    `template` is the messages with `{question}` and `{gold}` in the last one, and `hash` is its hash.
    """

    messages: Messages
    hash: str
    template: Messages


def render(config: ConfigName, question: str, choices: list[str], gold: str | None) -> Prompt:
    """Return the prompt for one question. With a `gold`, the teacher explains it; with None, it must find it."""
    template, hash_ = _template(config.granularity, config.format, config.benchmark, gold is not None)
    values = {"{question}": layout(question, choices), "{gold}": gold or ""}
    last = _PLACE.sub(lambda place: values[place[0]], template[-1]["content"])
    return Prompt([*template[:-1], {"role": "user", "content": last}], hash_, template)


@cache
def _template(granularity: int, format: str, benchmark: str, conditioned: bool) -> tuple[Messages, str]:
    texts, exemplar = read_prompts("instructions"), read_prompts(benchmark)
    instruction = texts["instruction"].format(
        granularity=texts["granularities"][granularity],
        format=texts["formats"][format],
        condition=texts["conditions"]["gold" if conditioned else "no_gold"],
        closing=texts["closings"][BENCHMARKS[benchmark].answer_kind],
    )
    request = texts["requests"]["gold" if conditioned else "no_gold"]
    values = {"{question}": layout(exemplar["question"], exemplar["choices"]), "{gold}": exemplar["gold"]}
    example = _PLACE.sub(lambda place: values[place[0]], request)
    rationale = exemplar["cot"][granularity] if format == DEFAULT_FORMAT else exemplar[format]
    messages = [
        {"role": "user", "content": f"{instruction}\n\n{example}"},
        {"role": "assistant", "content": completion_text(rationale, exemplar["gold"])},
        {"role": "user", "content": request},
    ]
    return messages, sha256(json.dumps(messages).encode()).hexdigest()[:16]


def read_prompts(name: str) -> dict[str, Any]:
    """Return the content of a prompt file: `instructions`, or the exemplar of a benchmark."""
    content: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return content

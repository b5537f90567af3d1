"""Recorded stores of a teacher, as `cot-distill annotate` writes them."""

import dataclasses
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.schema import question_id
from cot_distill_datasets.sources import arith
from cot_distill_datasets.sources.generated import ANSWERS, Answer, write_prompt
from cot_distill_datasets.teachers.prompts import render


PARAMETERS = {"temperature": 0.7, "max_tokens": 256}


def make_answer(config: str, question: str, gold: str, text: str, **values: Any) -> Answer:
    """Return an answer of which only `values` matter beside the arguments."""
    name, choices = ConfigName.parse(config), values.pop("choices", [])
    prompt = render(name, question, choices, gold if values.get("gold_in_prompt") else None)
    answer = Answer(
        key="", config=str(name), id=question_id(name.benchmark, question, choices), question=question,
        choices=choices, gold=gold, gold_in_prompt=False, prompt_hash=prompt.hash, sample=0, model="org/tiny-1",
        parameters=PARAMETERS, text=text, finish_reason="stop", refusal=None, prompt_tokens=300, output_tokens=50,
        seconds=0.5,
    )  # fmt: skip
    answer = dataclasses.replace(answer, **values)
    request = (answer.model, answer.config, answer.id, answer.gold_in_prompt, answer.prompt_hash, answer.sample)
    return dataclasses.replace(answer, key=values.get("key") or sha256(repr(request).encode()).hexdigest())


def write_store(folder: Path, answers: Iterable[Answer]) -> Path:
    """Write the store of the teacher that is the name of `folder`, with the prompts of its answers."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = list(answers)
    (folder / ANSWERS).write_text("".join(answer.line() for answer in answers))
    for answer in answers:
        prompt = render(ConfigName.parse(answer.config), "", [], "0" if answer.gold_in_prompt else None)
        write_prompt(folder, prompt.hash, prompt.template)
    return folder


def arith_answers(config: str, count: int, **values: Any) -> list[Answer]:
    """Return the oracle's answers to the first training questions of `arith`, as those of another teacher."""
    name = ConfigName.parse(config)
    problems = arith.generate(arith.TEST_SIZE + count)[arith.TEST_SIZE :]
    texts = [f"{arith.rationale(p, name.granularity, name.format)}\nThe answer is {p.answer}" for p in problems]
    return [make_answer(config, p.question, p.answer, text, **values) for p, text in zip(problems, texts)]

"""The released CoT as its files hold it, what our grader reads in it, and what a person read in some of it.

Texts are the teachers' fields of the release's JSON files before any repair; golds are those the importer joins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cot_distill_datasets.answers import Kind, equivalent, extract
from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.manifest import data_folder, file_of, read_manifest
from cot_distill_datasets.upstream import read_golds, read_rows


HERE = Path(__file__).parent
# Texts on which extractors differ in their verdict: `concludes` and `is_gold` are what a person read in the text, both
# null where it concludes two things; `said` is what each extractor read.
JUDGED = HERE / "judged.jsonl"
# Texts in which `extract` reads something else than the gold: `class` is why, `said` what it read.
DISAGREEMENTS = HERE / "disagreements.jsonl"
SAMPLE = 100  # disagreements with the gold

CLASSES = {
    "teacher": "the teacher concludes this, and it is not the gold",
    "gold": "the teacher concludes this; the gold, or the question as released, is wrong, incomplete or doubtful",
    "extraction": "the text concludes something else: a defect of `extract`",
    "form": "the same answer in another form: `equivalent` is too strict",
    "ambiguous": "the text concludes two different things",
    "cut": "the text ends before it concludes; what was read is its last number",
    "damaged": "its LaTeX is broken in the JSON; repaired by the importer, it is read as the gold",
}


class Text(NamedTuple):
    """One released CoT: where it stands (`data/FILE.json#INDEX`), as it stands, and the canonical gold, if any."""

    source: str
    config: str
    kind: Kind
    text: str
    gold: str | None

    @property
    def rank(self) -> str:
        """Its place in every sample: by the hash of its source, so that a sample is the same on any machine."""
        return sha256(self.source.encode()).hexdigest()


class Said(NamedTuple):
    """What an extractor read in a text, None where nothing; and whether it holds that to be the gold."""

    answer: str | None
    is_gold: bool


Extractor = Callable[[Text], Said]
Verdicts = dict[str, dict[str, Said]]  # source of a text → name of an extractor → what it said


def released_texts(upstream: Path) -> Iterator[Text]:
    """Yield every CoT of the release in `upstream`, file by file; answer-only files hold none."""
    data = data_folder(upstream)
    entries = [entry for entry in read_manifest(data)[0] if file_of(entry, data).is_file()]
    golds = {entry.config.benchmark: read_golds(entry, data) for entry in entries if entry.config.teacher == "answer"}
    for entry in entries:
        if entry.config.teacher == "answer":
            continue
        released = json.loads(file_of(entry, data).read_bytes())
        for row in read_rows(entry, data, golds.get(entry.config.benchmark, {})).rows:
            text = released[int(row["source"].partition("#")[2])][entry.response_column]
            gold = None if "no_gold" in row["flags"] else row["answer"]
            yield Text(row["source"], str(entry.config), BENCHMARKS[row["benchmark"]].answer_kind, text, gold)


def strict(released: Text) -> Said:
    """Read a text with our grader; only a closing sentence counts."""
    return _ours(released, strict=True)


def flexible(released: Text) -> Said:
    """Read a text with our grader; without a closing sentence its last answer counts."""
    return _ours(released, strict=False)


def _ours(released: Text, *, strict: bool) -> Said:
    answer = extract(released.text, released.kind, strict=strict)
    if answer is None or released.gold is None:
        return Said(answer, False)
    return Said(answer, equivalent(answer, released.gold, released.kind))


def disagreeing(texts: Iterable[Text]) -> list[Text]:
    """Return the texts in which our grader, flexible, does not find the gold; the first `SAMPLE` are judged."""
    return sorted((text for text in texts if text.gold and not flexible(text).is_gold), key=lambda text: text.rank)


def patterns_of(said: Verdicts, names: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """Return for each text which of the extractors `names` find the gold in it: texts that share it differ alike."""
    return {source: tuple(readings[name].is_gold for name in names) for source, readings in said.items()}


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of `JUDGED` or `DISAGREEMENTS`."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_records(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records, one a line."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))

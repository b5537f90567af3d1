"""The released CoT texts, the answers our grader reads in them, and a person's judgments of some of them.

Texts are the teachers' fields in the JSON files of the release, before any repair. The importer joins the golds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.grading.answers import Kind, equivalent, extract
from cot_distill_datasets.sources.manifest import data_folder, data_path, read_manifest
from cot_distill_datasets.sources.upstream import read_golds, read_rows


HERE = Path(__file__).parent
# Texts on which the extractors disagree. `concludes` and `is_gold` are a person's judgment of the text, both null if
# it has two different final answers. `said` is the answer of each extractor.
JUDGED = HERE / "judged.jsonl"
# Texts whose extracted answer (`said`) is not the gold. `class` is the reason.
DISAGREEMENTS = HERE / "disagreements.jsonl"
SAMPLE = 100  # number of disagreements with the gold that a person judges

CLASSES = {
    "teacher": "the teacher's answer was read correctly, and it is not the gold",
    "gold": "the teacher's answer was read correctly; the gold or the question is wrong, incomplete or doubtful",
    "extraction": "the text has a different final answer: an error of `extract`",
    "form": "the answers are the same in different forms: `equivalent` is too strict",
    "ambiguous": "the text has two different final answers",
    "cut": "the text is truncated before its final answer; its last number was read",
    "damaged": "the JSON broke the LaTeX; once the importer has repaired it, the gold is read",
}


class Text(NamedTuple):
    """One released CoT: its location (`data/FILE.json#INDEX`), its unchanged text, and the canonical gold, if any."""

    source: str
    config: str
    kind: Kind
    text: str
    gold: str | None

    @property
    def rank(self) -> str:
        """Sort key of every sample: the hash of its source, so that a sample is the same on every machine."""
        return sha256(self.source.encode()).hexdigest()


class Reading(NamedTuple):
    """The answer that an extractor read in a text, or None, and whether the extractor accepts it as the gold."""

    answer: str | None
    is_gold: bool


Extractor = Callable[[Text], Reading]
Readings = dict[str, dict[str, Reading]]  # source of a text → name of an extractor → its reading


def released_texts(upstream: Path) -> Iterator[Text]:
    """Yield every CoT of the release in `upstream`, file by file. Answer-only files contain no CoT."""
    data = data_folder(upstream)
    entries = [entry for entry in read_manifest(data)[0] if data_path(entry, data).is_file()]
    golds = {entry.config.benchmark: read_golds(entry, data) for entry in entries if entry.config.teacher == "answer"}
    for entry in entries:
        if entry.config.teacher == "answer":
            continue
        released = json.loads(data_path(entry, data).read_bytes())
        for row in read_rows(entry, data, golds.get(entry.config.benchmark, {})).rows:
            text = released[int(row["source"].partition("#")[2])][entry.response_column]
            gold = None if "no_gold" in row["flags"] else row["answer"]
            yield Text(row["source"], str(entry.config), BENCHMARKS[row["benchmark"]].answer_kind, text, gold)


def strict(released: Text) -> Reading:
    """Read a text with our grader, counting only a closing sentence."""
    return _ours(released, strict=True)


def flexible(released: Text) -> Reading:
    """Read a text with our grader, counting the last answer if there is no closing sentence."""
    return _ours(released, strict=False)


def _ours(released: Text, *, strict: bool) -> Reading:
    answer = extract(released.text, released.kind, strict=strict)
    if answer is None or released.gold is None:
        return Reading(answer, False)
    return Reading(answer, equivalent(answer, released.gold, released.kind))


def disagreeing(texts: Iterable[Text]) -> list[Text]:
    """Return the texts in which our flexible grader does not find the gold. A person judges the first `SAMPLE`."""
    return sorted((text for text in texts if text.gold and not flexible(text).is_gold), key=lambda text: text.rank)


def agreement_patterns(readings: Readings, names: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """Return for each text which of the extractors `names` find the gold in it."""
    return {source: tuple(by_name[name].is_gold for name in names) for source, by_name in readings.items()}


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of `JUDGED` or `DISAGREEMENTS`."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_records(path: Path, records: list[dict[str, Any]]) -> None:
    """Write one record per line."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))

"""What became of the answers of a store, by reason (`sources.generated.REASONS`)."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from ..errors import CotDistillError, nearest
from ..sources.generated import ANSWERS, REASONS, Answer, latest_positions, load_answers, reason
from ..templates import printable


def find_stores(folder: Path, teachers: Sequence[str]) -> list[Path]:
    """Return the stores of teachers below `folder`, or all if none is named.

    Raises CotDistillError, with the nearest, if there is none.
    """
    stores = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{ANSWERS}"))}
    absent = next((teacher for teacher in teachers if teacher not in stores), None)
    if absent or not stores:
        names = f"use {nearest(absent or '', stores)}" if stores else "run `cot-distill annotate` first"
        raise CotDistillError(f"There are no answers of {absent or 'any teacher'} in {folder}: {names}.")
    return [stores[teacher] for teacher in dict.fromkeys(teachers or stores)]


def judge_answers(store: Path, keys: Container[bytes]) -> Iterator[tuple[Answer, str]]:
    """Yield the latest answer to each request with one of the `keys`, and its reason."""
    for positions in latest_positions(store).values():
        chosen = {key: at for key, at in positions.items() if bytes.fromhex(key) in keys}
        for answer in load_answers(store, chosen):
            yield answer, reason(answer)


def reason_table(counts: dict[str, Counter[str]]) -> list[list[str]]:
    """Return the rows of a table: a config, and the number of its answers for each reason."""
    rows = [["config", *REASONS, "sum"]]
    for config, by_reason in sorted(counts.items()):
        rows.append([config, *(str(by_reason[name]) for name in REASONS), str(by_reason.total())])
    return rows


def answer_line(answer: Answer, reason_: str) -> str:
    """Return an answer as one line for a terminal: its reason, config, question, sample, and the text."""
    text = " ".join(printable(answer.refusal or answer.text).split())
    return "\t".join([reason_, answer.config, answer.id, str(answer.sample), text])

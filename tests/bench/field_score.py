"""Score the grader on the cases of its peers' own test suites (`../shared/field`): one line per table, or every miss.

    python tests/bench/field_score.py            # counts
    python tests/bench/field_score.py --misses   # and each case that is judged otherwise than its suite expects

A case is a pair of answers, or a gold and a text that is read strictly or flexibly first. `⏎` is a line break. Some
suites were written down with backslashes doubled: those texts are read as they are.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from cot_distill_datasets.grading.answers import Kind, equivalent, extract


FIELD = Path(__file__).parents[3] / "shared/field"


class Case(NamedTuple):
    """One row of a table: `expected` is whether the text's answer (or the second answer) equals the gold."""

    kind: Kind
    mode: str
    gold: str
    text: str
    expected: bool
    group: str

    @property
    def verdict(self) -> bool:
        """Whether the grader finds the two sides equal."""
        if self.mode == "pair":
            return equivalent(self.gold, self.text, self.kind)
        answer = extract(self.text, self.kind, strict=self.mode == "text (strict)")
        if self.gold in ("", "None") or answer is None:
            return answer is None and self.gold in ("", "None")
        return equivalent(answer, self.gold, self.kind)


def read_cases(path: Path) -> list[Case]:
    """Return the cases of `peers.tsv` (with its class as the group) or `peers_half.tsv` (with its suite)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    lines = [{name: (value or "").replace("⏎", "\n") for name, value in row.items()} for row in rows]
    return [
        Case(row["kind"], row["mode"], row["gold"], row["text"], row["expected"] == "True", row.get("class") or row["suite"])
        for row in lines
    ]  # fmt: skip


def main() -> None:
    """Print the score of each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--misses", action="store_true", help="print each case that is judged otherwise")
    args = parser.parse_args()
    for name in ("peers.tsv", "peers_half.tsv"):
        cases = read_cases(FIELD / name)
        misses = [case for case in cases if case.verdict != case.expected]
        print(f"{name}: {len(cases) - len(misses)} of {len(cases)} right")
        for case in misses if args.misses else ():
            answer = None if case.mode == "pair" else extract(case.text, case.kind, strict="strict" in case.mode)
            print(f"  [{case.group}] {case.kind} {case.mode} {case.expected}\n    {case.gold!r}\n    {case.text[-300:]!r}\n    -> {answer!r}")


if __name__ == "__main__":
    main()

"""Score the grader on the cases of its peers' own test suites (`../shared/field`).

    python tests/bench/field_score.py            # the number of right verdicts per table
    python tests/bench/field_score.py --misses   # and each case with another verdict than its suite's

A case is a pair of answers, or a gold and a text. `⏎` is a line break. Some suites were written down with doubled
backslashes; their texts are read as they are.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from cot_distill_datasets.grading.answers import equivalent, extract
from cot_distill_datasets.grading.conclusions import Kind


FIELD = Path(__file__).parents[3] / "shared/field"


class Case(NamedTuple):
    """One row of a table. `expected` is the suite's verdict: whether the text's answer equals the gold."""

    group: str
    kind: Kind
    mode: str
    gold: str
    text: str
    expected: bool

    @property
    def verdict(self) -> bool:
        """Whether the grader finds the two sides equal. A gold of `None` means that the text has no answer."""
        if self.mode == "pair":
            return equivalent(self.gold, self.text, self.kind)
        answer = self.answer
        if self.gold in ("", "None") or answer is None:
            return answer is None and self.gold in ("", "None")
        return equivalent(answer, self.gold, self.kind)

    @property
    def answer(self) -> str | None:
        """The answer that the grader reads in the text."""
        return extract(self.text, self.kind, strict="strict" in self.mode)


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a table, grouped by their class of defect (`peers.tsv`) or suite (`peers_half.tsv`)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    cases = []
    for row in rows:
        kind, mode, gold, text, expected = (
            row[name].replace("⏎", "\n") for name in ("kind", "mode", "gold", "text", "expected")
        )
        cases.append(Case(row.get("class") or row["suite"], kind, mode, gold, text, expected == "True"))
    return cases


def main() -> None:
    """Print the score of each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--misses", action="store_true", help="print each case with another verdict")
    args = parser.parse_args()
    for name in ("peers.tsv", "peers_half.tsv"):
        cases = read_cases(FIELD / name)
        misses = [case for case in cases if case.verdict != case.expected]
        print(f"{name}: {len(cases) - len(misses)} of {len(cases)} right")
        for case in misses if args.misses else ():
            print(f"  [{case.group}] {case.kind} {case.mode}, expected {case.expected}")
            print(f"    {case.gold!r}\n    {case.text[-300:]!r}\n    read: {case.answer!r}")


if __name__ == "__main__":
    main()

"""Measure the accuracy of the grader and write `docs/grader.md` (two to three minutes).

    python tests/bench/grader_agreement.py --upstream ../shared/upstream

Our grader reads every released CoT. lm-eval's GSM8K filters and math-verify also read those of the number benchmarks,
and math-verify those of MATH. A person's judgments are in `judged.jsonl` and `disagreements.jsonl`. The script prints
the judged texts that the current grader reads differently than recorded (`--accept` records the new readings), and the
texts that a person still has to judge.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from extractors import COMPARED, extractors
from grader_page import Record, page
from released import (
    DISAGREEMENTS,
    JUDGED,
    SAMPLE,
    Readings,
    Text,
    agreement_patterns,
    disagreeing,
    flexible,
    read_records,
    released_texts,
    strict,
    write_records,
)


PAGE = Path(__file__).parents[2] / "docs/grader.md"
MIN_JUDGED = 4  # texts to judge for each pattern of disagreement, if it has as many


def main() -> None:
    """Run all extractors, compare them with the judgments, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of the paper's release")
    parser.add_argument("--accept", action="store_true", help="record the current readings of the judged texts")
    args = parser.parse_args()
    texts = {text.source: text for text in released_texts(args.upstream)}
    readings = compare([text for text in texts.values() if text.gold and text.kind in COMPARED])
    judged, disagreements = read_records(JUDGED), read_records(DISAGREEMENTS)
    report_changes(texts, judged, disagreements)
    report_missing(texts, readings, judged, disagreements)
    if args.accept:
        for record in judged:
            record["said"] = {name: reading.answer for name, reading in readings[record["source"]].items()}
        for record in disagreements:
            record["said"] = flexible(texts[record["source"]]).answer
        write_records(JUDGED, judged)
        write_records(DISAGREEMENTS, disagreements)
    PAGE.write_text(page(texts, readings, judged, disagreements))
    print(f"wrote {PAGE}")


def compare(texts: list[Text]) -> Readings:
    """Return the readings of each text by all extractors that support its answer kind."""
    by_name = extractors()
    names = {"number": tuple(by_name), "math": COMPARED["math"]}
    return {text.source: {name: by_name[name](text) for name in names[text.kind]} for text in texts}


def report_changes(texts: dict[str, Text], judged: list[Record], disagreements: list[Record]) -> None:
    """Print the recorded texts that our grader reads differently now."""
    recorded = [
        *((one["source"], name, one["said"][name]) for one in judged for name in ("ours strict", "ours flexible")),
        *((one["source"], "ours flexible", one["said"]) for one in disagreements),
    ]
    for source, name, before in dict.fromkeys(recorded):
        now = (strict if name == "ours strict" else flexible)(texts[source])
        if now.answer != before:
            verdict = "the gold" if now.is_gold else "not the gold"
            print(f"CHANGED {source} {name}: recorded {before!r}, now {now.answer!r} ({verdict})")


def report_missing(
    texts: dict[str, Text], readings: Readings, judged: list[Record], disagreements: list[Record]
) -> None:
    """Print the texts in the samples that a person still has to judge."""
    judged_sources = {record["source"] for record in disagreements}
    for text in disagreeing(texts.values())[:SAMPLE]:
        if text.source not in judged_sources:
            print(f"TO JUDGE, in {DISAGREEMENTS.name}: {text.source} (gold {text.gold!r})")
    for kind, names in COMPARED.items():
        patterns = agreement_patterns({s: readings[s] for s in readings if texts[s].kind == kind}, names)
        judged_patterns = [patterns[record["source"]] for record in judged if record["source"] in patterns]
        for pattern in {pattern for pattern in patterns.values() if len(set(pattern)) > 1}:
            sources = sorted((s for s in patterns if patterns[s] == pattern), key=lambda source: texts[source].rank)
            if judged_patterns.count(pattern) < min(MIN_JUDGED, len(sources)):
                verdicts = ", ".join(f"{name}: {verdict}" for name, verdict in zip(names, pattern))
                print(f"TO JUDGE, in {JUDGED.name}, reads the gold ({verdicts}): {' '.join(sources[:MIN_JUDGED])}")


if __name__ == "__main__":
    main()

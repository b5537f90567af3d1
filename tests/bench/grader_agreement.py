"""How far the grader can be trusted: writes `docs/grader.md` (two to three minutes).

    python tests/bench/grader_agreement.py --upstream ../shared/upstream

It reads every released CoT with our grader, every one of a number benchmark also with lm-eval's GSM8K filters and
math-verify, and every one of MATH with math-verify. What a person judged is in `judged.jsonl` and
`disagreements.jsonl`; it prints which of those today's grader reads otherwise than recorded (`--accept` records it),
and which texts a sample wants judged.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from extractors import JUDGED_OF, extractors
from grader_page import Record, page
from released import (
    DISAGREEMENTS,
    JUDGED,
    SAMPLE,
    Text,
    Verdicts,
    disagreeing,
    flexible,
    patterns_of,
    read_records,
    released_texts,
    strict,
    write_records,
)


PAGE = Path(__file__).parents[2] / "docs/grader.md"
JUDGED_EACH = 4  # texts of each kind of difference, where there are as many


def main() -> None:
    """Measure, compare with what was judged, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of the paper's release")
    parser.add_argument("--accept", action="store_true", help="record what today's grader says of the judged texts")
    args = parser.parse_args()
    texts = {text.source: text for text in released_texts(args.upstream)}
    said = compare([text for text in texts.values() if text.gold and text.kind in JUDGED_OF])
    judged, disagreements = read_records(JUDGED), read_records(DISAGREEMENTS)
    report_changes(texts, judged, disagreements)
    report_missing(texts, said, judged, disagreements)
    if args.accept:
        for record in judged:
            record["said"] = {name: reading.answer for name, reading in said[record["source"]].items()}
        for record in disagreements:
            record["said"] = flexible(texts[record["source"]]).answer
        write_records(JUDGED, judged)
        write_records(DISAGREEMENTS, disagreements)
    PAGE.write_text(page(texts, said, judged, disagreements))
    print(f"wrote {PAGE}")


def compare(texts: list[Text]) -> Verdicts:
    """Return what each extractor that can read a text's kind of answer says of it."""
    named = extractors()
    names = {"number": tuple(named), "math": JUDGED_OF["math"]}
    return {text.source: {name: named[name](text) for name in names[text.kind]} for text in texts}


def report_changes(texts: dict[str, Text], judged: list[Record], disagreements: list[Record]) -> None:
    """Print which of the recorded texts our grader reads otherwise today."""
    recorded = [
        *((one["source"], name, one["said"][name]) for one in judged for name in ("ours strict", "ours flexible")),
        *((one["source"], "ours flexible", one["said"]) for one in disagreements),
    ]
    for source, name, was in dict.fromkeys(recorded):
        now = (strict if name == "ours strict" else flexible)(texts[source])
        if now.answer != was:
            verdict = "the gold" if now.is_gold else "not the gold"
            print(f"CHANGED {source} {name}: recorded {was!r}, now {now.answer!r} ({verdict})")


def report_missing(texts: dict[str, Text], said: Verdicts, judged: list[Record], disagreements: list[Record]) -> None:
    """Print which texts a person should judge, now that the samples hold them."""
    known = {record["source"] for record in disagreements}
    for text in disagreeing(texts.values())[:SAMPLE]:
        if text.source not in known:
            print(f"TO JUDGE, in {DISAGREEMENTS.name}: {text.source} (gold {text.gold!r})")
    for kind, names in JUDGED_OF.items():
        patterns = patterns_of({source: said[source] for source in said if texts[source].kind == kind}, names)
        done = [patterns[record["source"]] for record in judged if record["source"] in patterns]
        for pattern in {pattern for pattern in patterns.values() if len(set(pattern)) > 1}:
            sources = sorted((s for s in patterns if patterns[s] == pattern), key=lambda source: texts[source].rank)
            if done.count(pattern) < min(JUDGED_EACH, len(sources)):
                verdicts = ", ".join(f"{name}: {verdict}" for name, verdict in zip(names, pattern))
                print(f"TO JUDGE, in {JUDGED.name}, say the gold ({verdicts}): {' '.join(sources[:JUDGED_EACH])}")


if __name__ == "__main__":
    main()

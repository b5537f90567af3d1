"""What the explorer shows in its tests: texts that must stay text, and students whose answers are known."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)> **b** ${alert(1)} {{value}} \x1b[31m\u202e\" onload='x"
SHOWN = EVIL.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")


def read_rows(release: Path, config: str) -> list[dict[str, Any]]:
    """Return the rows of a config."""
    (path,) = (release / "data" / config).iterdir()
    return list(pq.read_table(path).to_pylist())


def write_results(student: Path, rows: list[dict[str, Any]], wrong: dict[int, str]) -> Path:
    """Write results of `cot_arith` as `cot-distill evaluate` does, and return their folder.

    The answers to `rows` are right, but for those that are in `wrong`, by number.
    """
    folder = student / "results/cot_arith"
    folder.mkdir(parents=True)
    lines = []
    for number, row in enumerate(rows):
        sample = {
            "doc": row, "doc_id": number, "filter": "strict-match", "exact_match": int(number not in wrong),
            "no_answer": 0, "resps": [[wrong.get(number, f"The answer is {row['answer']}")]],
            "finish_reason": "length" if number in wrong else "stop", "output_tokens": 7,
        }  # fmt: skip
        lines.append(json.dumps(sample) + "\n")
    (folder / "samples_cot_arith_2026.jsonl").write_text("".join(lines))
    result: dict[str, Any] = {key: {"cot_arith": 0} for key in ("results", "versions", "n-shot")}
    result |= {"config": {}, "n-samples": {"cot_arith": {"original": 500, "effective": len(rows)}}}
    (folder / "results_2026.json").write_text(json.dumps(result))
    return folder

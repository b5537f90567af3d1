import json
from pathlib import Path

from PIL import Image

from cot_distill_datasets.evaluate import Score
from cot_distill_datasets.report import ReportRow, write_report


SCORE = Score("cot_arith", 200, 150, 21.5, "2 + 2?", "4", "2 + 2 = 4.\nThe answer is 4")


def test_a_row_has_the_wilson_interval() -> None:
    row = ReportRow.of(None, SCORE)
    assert (row.student, row.config, row.n, row.train_examples) == ("demo", None, 200, 0)
    assert (row.accuracy, row.low, row.high) == (0.75, 0.6857, 0.8049)  # Wilson 1927, checked by hand


def test_the_report_has_the_numbers_the_figure_and_the_samples(tmp_path: Path) -> None:
    report = write_report(tmp_path, [ReportRow.of(None, SCORE)], {"untrained": SCORE})
    text = report.read_text()
    assert "| untrained | 75.0 % | 68.6 – 80.5 | 21.5 | 0 | 0.0 |" in text
    assert "> 2 + 2?" in text and "Gold: **4**" in text and "The answer is 4" in text
    (row,) = json.loads((tmp_path / "report.json").read_text())
    assert list(row) == [
        "student", "config", "n", "accuracy", "low", "high", "mean_output_tokens", "train_examples", "train_seconds",
    ]  # fmt: skip
    with Image.open(tmp_path / "report.png") as figure:
        assert figure.width > 1000

"""The committed results of studies: their records belong to the study files, and their reports say what they hold."""

import shutil
from pathlib import Path

import pytest
from support import ROOT

from cot_distill_datasets.cli import main
from cot_distill_datasets.files import find_file
from cot_distill_datasets.release.build import build
from cot_distill_datasets.studies.plan import make_plan
from cot_distill_datasets.studies.study import load_study


@pytest.mark.slow
def test_the_report_of_arith_is_that_of_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build(Path("eit/cot-distill"))
    results = ROOT / "docs/results/arith"
    shutil.copytree(results, "arith")
    plan = make_plan(load_study(find_file("arith", "training/studies", ".yaml")), Path("arith"))
    records = {plan.record(planned, "cot_arith").name for planned in plan.cells}
    assert {path.name for path in (results / "records").iterdir()} == records
    assert main(["study", "report", "arith", "--out", "arith"]) == 0
    assert Path("arith/report.md").read_text() == (results / "report.md").read_text()

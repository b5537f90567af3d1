"""The committed results of studies: their records belong to the study files, and their reports say what they hold."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from cot_distill_datasets.release.build import build
from cot_distill_datasets.studies.plan import plan_file


@pytest.mark.slow
def test_the_report_of_arith_is_that_of_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build(Path("eit/cot-distill"))
    folder = Path("docs/results/arith")  # the report names it
    results = ROOT / folder
    shutil.copytree(results, folder)
    # A process of its own: this one may have the hashes of base models in another folder.
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "study", "report", "arith", "--out", str(folder)]
    subprocess.run(command, check=True)
    assert (folder / "report.md").read_text() == (results / "report.md").read_text()
    plan = plan_file("arith", folder)
    records = {plan.record(planned, "cot_arith").name for planned in plan.cells}
    assert {path.name for path in (results / "records").iterdir()} == records

"""The committed results of studies: their records belong to the study files, and their reports say what they hold."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pretrained import unpack
from support import ROOT

from cot_distill_datasets.studies.plan import plan_file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "task"), [("arith", "cot_arith"), ("smollm2", "cot_svamp"), ("smollm2-levels", "cot_svamp")]
)
def test_a_committed_report_is_that_of_its_records(
    study: str, task: str, full_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("eit").mkdir()
    Path("eit/cot-distill").symlink_to(full_release)
    if task == "cot_svamp":
        unpack(Path("runs/base/smollm2-135m"))
    folder = Path("docs/results") / study  # the report names it
    results = ROOT / folder
    shutil.copytree(results, folder)
    # A process of its own: this one may have the hashes of base models in another folder.
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "study", "report", study, "--out", str(folder)]
    subprocess.run(command, check=True)
    assert (folder / "report.md").read_text() == (results / "report.md").read_text()
    plan = plan_file(study, folder)
    records = {plan.record(planned, task).name for planned in plan.cells}
    committed = {path.name for path in (results / "records").iterdir()}
    assert committed == records

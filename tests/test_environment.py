"""Environment variables that the Hugging Face libraries cannot read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("HF_ENDPOINT", "nonsense", "'nonsense'"),
        ("HF_ENDPOINT", "http://", "HF_ENDPOINT"),
        ("HF_ENDPOINT", "ftp://host", "'ftp://host'"),
        ("HF_ENDPOINT", "http://[::1", "IPv6"),
        ("HF_ENDPOINT", "http://host:99999", "Port"),
        ("HF_ENDPOINT", "http://a b", "'http://a b'"),
        ("HF_ENDPOINT", "http://host\nname", r"'http://host\nname'"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "'soon'"),
    ],
)
def test_a_variable_that_cannot_be_read_is_one_sentence(name: str, value: str, named: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "publish", "--repo-id", "eit/x"]
    environment = os.environ | {name: value}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert named in ended.stderr and "HF_" in ended.stderr
    assert list(tmp_path.iterdir()) == []

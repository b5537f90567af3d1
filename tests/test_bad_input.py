"""Bad input is named, with its file and row, and costs nothing that was there; a build may be killed at any moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import run_build, run_on_full_disk
from pyarrow.parquet import ParquetWriter

from cot_distill_datasets.build import build
from cot_distill_datasets.cli import main
from cot_distill_datasets.folders import locked
from cot_distill_datasets.release import read_release


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b'[{"instruction": "2 pens?", "outp', "SVAMP_ChatGPT_level1_ranked.json: cannot be read"),
        (b"not json", "SVAMP_ChatGPT_level1_ranked.json: cannot be read"),
        (b"\xff\xfe\x00", "SVAMP_ChatGPT_level1_ranked.json: cannot be read"),
        (b"[" * 100_000, "SVAMP_ChatGPT_level1_ranked.json: cannot be read"),
        (b'{"a": 1}', "holds no list of rows"),
        (b'[{"instruction": "2?", "output": "2"}, 7]', "row 1 is no object"),
        (b'[{"instruction": "2?", "output": null}]', "row 0 has no text under 'output'"),
        (b"[]", "no row is left"),
        (b'[{"instruction": "  ", "output": "2"}]', "row 0 has an empty question"),
        (b'[{"instruction": "2?", "output": 2}]', "row 0 has no text under 'output'"),
        (b'[{"instruction": ["2?"], "output": "2"}]', "row 0 has no text under 'instruction'"),
        (b'[{"instruction": "2?", "output": "2", "output": "3"}]', "row 0 has a key twice"),
        (b'[{"instruction": "2?", "output": "\\ud800 The answer is 2"}]', "row 0 has half a character"),
        (b'[{"instruction": "2?", "output": "' + b"2" * 50_000_000 + b'"}]', "row 0 has 50,000,000 characters"),
        ('[{"instruction": "2 €?", "output": "2"}]'.encode("cp1252"), "ranked.json: cannot be read: 'utf-8' codec"),
        (b'[{"instruction": "2?", "output": NaN}]', "row 0 has no text under 'output'"),
    ],
)
def test_a_bad_file_is_named_and_the_rest_is_built(
    tmp_path: Path,
    small_upstream: Path,
    benchmarks: Path,
    capsys: pytest.CaptureFixture[str],
    broken: bytes,
    said: str,
) -> None:
    (small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json").write_bytes(broken)
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 1
    assert said in capsys.readouterr().err
    release = read_release(tmp_path / "out")
    assert release is not None
    names = {config.name for config in release.configs}
    assert {"gpt4o-l2-svamp", "answer-svamp", "oracle-l3-arith"} <= names
    assert list(release.left_out) == ["gpt4o-l1-svamp"]
    assert not (tmp_path / "out/data/gpt4o-l1-svamp").exists()


def test_a_file_outside_the_folder_is_named_and_not_read(
    tmp_path: Path, small_upstream: Path, benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small_upstream / "data/dataset_info.json"
    manifest.write_text(manifest.read_text().replace("SVAMP_ChatGPT_level1_ranked.json", "../../secret.json"))
    (tmp_path / "secret.json").write_text('[{"instruction": "2?", "output": "The answer is 2"}]')
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 1
    assert "../../secret.json: the manifest points outside" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--upstream", "missing"], "There is no dataset_info.json in missing"),
        (["--benchmarks", "missing"], "There is no folder missing"),
        (["--out", "occupied"], "occupied holds something else"),
        (["--out", "occupied/thesis.txt/x"], "File exists"),
        (["--out", "."], "holds something else"),
    ],
)
def test_a_wrong_folder_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied/thesis.txt").write_text("years of work")
    assert main(["build", *args]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.*")] == ["thesis.txt"]


def test_a_name_of_the_manifest_that_tells_nothing_is_named_and_the_rest_is_built(
    tmp_path: Path, small_upstream: Path, benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small_upstream / "data/dataset_info.json"
    entries = json.loads(manifest.read_bytes())
    entries |= {"dolly_level1": entries["SVAMP_ChatGPT_level1"], "svamp_gpt4": entries["SVAMP_ChatGPT_level1"]}
    entries["svamp_chatgpt_level1_again"] = {"file_name": "a\0b.json", "columns": {"prompt": "q", "response": "a"}}
    manifest.write_text(json.dumps(entries))
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 1
    error = capsys.readouterr().err
    assert "left out: dolly_level1: The manifest's name 'dolly_level1' tells no benchmark or no teacher" in error
    assert "The manifest's name 'svamp_gpt4' tells no benchmark or no teacher" in error
    assert "'svamp_chatgpt_level1_again' is a second entry for gpt4o-l1-svamp" in error
    assert (tmp_path / "out/data/gpt4o-l1-svamp").is_dir()


def test_an_empty_response_is_no_row(tmp_path: Path, small_upstream: Path, benchmarks: Path) -> None:
    path = small_upstream / "data/SVAMP_ChatGPT_level1_ranked.json"
    path.write_text(json.dumps([{"instruction": "2 pens?", "output": ""}, *json.loads(path.read_bytes())]))
    release = build(tmp_path / "out", small_upstream, benchmarks)
    (stats,) = [config for config in release.configs if config.name == "gpt4o-l1-svamp"]
    assert (stats.rows_in, stats.dropped["empty"]) == (701, 1)


def test_a_broken_file_of_golds_leaves_its_benchmark_out(
    tmp_path: Path, small_upstream: Path, benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its golds nobody can say which rows contradict them."""
    (small_upstream / "data/SVAMP_only_ans.json").write_text("[1]")
    assert run_build(tmp_path / "out", small_upstream, benchmarks) == 1
    error = capsys.readouterr().err
    assert "left out: answer-svamp: SVAMP_only_ans.json: row 0 is no object" in error
    assert "left out: gpt4o-l1-svamp, gpt4o-l2-svamp: its golds cannot be had" in error


@pytest.mark.parametrize(
    "manifest",
    [
        "", "[]", "[1]", '{"SVAMP_human": 1}', '{"SVAMP_human": {"file_name": "x.json", "columns": []}}',
        '{"SVAMP_human": {"file_name": 3, "columns": {"prompt": "q", "response": "a"}}}',
        '{"SVAMP_human": {"file_name": "x.json", "columns": {"prompt": "q", "response": ["a"]}}}',
    ],
)  # fmt: skip
def test_a_broken_manifest_is_refused(
    tmp_path: Path, small_upstream: Path, capsys: pytest.CaptureFixture[str], manifest: str
) -> None:
    (small_upstream / "data/dataset_info.json").write_text(manifest)
    code = main(["build", "--upstream", str(small_upstream), "--out", str(tmp_path / "out")])
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert "dataset_info.json cannot be read" in capsys.readouterr().err


def test_the_release_is_cloned_from_its_url(tmp_path: Path, small_upstream: Path, benchmarks: Path) -> None:
    git = ["git", "-C", str(small_upstream), "-c", "user.name=x", "-c", "user.email=x@y"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "Release"]):
        subprocess.run([*git, *args], check=True)
    build(tmp_path / "cloned", f"file://{small_upstream}", benchmarks)
    build(tmp_path / "local", small_upstream, benchmarks)
    assert (tmp_path / "cloned/release.json").read_bytes() == (tmp_path / "local/release.json").read_bytes()


def test_credentials_of_a_url_are_in_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = "https://me:hf_MustNeverBeSeen@127.0.0.1:9/release.git"
    assert main(["build", "--upstream", url, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "git cannot clone https://127.0.0.1:9/release.git" in said.err
    assert "MustNeverBeSeen" not in said.out + said.err


@pytest.mark.parametrize("url", ["file:///nowhere/at/all", "ext::sh -c touch% pwned"])
def test_a_url_that_cannot_be_cloned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["build", "--upstream", url, "--out", "out"]) == 2
    assert url in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_former_release_as_it_was(tmp_path: Path, few_problems: None) -> None:
    build(tmp_path / "release")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    command = ["-m", "cot_distill_datasets.cli", "build", "--out", str(tmp_path / "release")]
    ended = run_on_full_disk(*command, limit=10_000)
    assert ended.returncode == 2
    assert (
        f"{tmp_path / 'release'} cannot be written, and is as it was" in ended.stderr
        and "Traceback" not in ended.stderr
    )
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}


def test_another_edition_is_not_written_over_a_release(
    tmp_path: Path, few_problems: None, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path / "release")
    assert main(["build", "--edition", "paper", "--out", str(tmp_path / "release")]) == 2
    assert "holds the edition `clean`: give another folder as --out for `paper`" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence_and_the_former_release_stays(tmp_path: Path, few_problems: None) -> None:
    build(tmp_path / "release")
    before = (tmp_path / "release/release.json").read_bytes()
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "build", "--out", str(tmp_path / "release")]
    process = subprocess.Popen(
        command,
        # Where a shell has put all of this into the background, it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    with process, process.stderr:
        while not (tmp_path / ".release.new").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.strip().endswith("cot-distill: interrupted; what was there is as it was.") and "Traceback" not in said
    assert (tmp_path / "release/release.json").read_bytes() == before
    assert not (tmp_path / ".release.new").exists()


def test_ctrl_c_is_not_lost_in_a_destructor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python prints what a destructor raises, and goes on; pyarrow's writer has one."""
    presses = iter([signal.SIGINT])
    monkeypatch.setattr(ParquetWriter, "__del__", lambda _: [signal.raise_signal(press) for press in presses])
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # as above
    try:
        assert main(["build", "--out", str(tmp_path / "release")]) == 130
    finally:
        signal.signal(signal.SIGINT, former)
    assert capsys.readouterr().err.endswith("cot-distill: interrupted; what was there is as it was.\n")
    assert not (tmp_path / "release").exists()


def test_of_two_builds_at_once_the_second_is_refused(
    tmp_path: Path, few_problems: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "release"):
        assert main(["build", "--out", str(tmp_path / "release")]) == 2
    assert "Another process writes or publishes" in capsys.readouterr().err
    assert main(["build", "--out", str(tmp_path / "release")]) == 0


def test_a_reader_waits_for_a_swap_that_is_under_way(tmp_path: Path, few_problems: None) -> None:
    """Between its two renames a build has its former release beside its place; a reader must not put that back."""
    build(tmp_path / "release")
    (tmp_path / "release").rename(tmp_path / ".release.old")
    reader = (
        "import sys; from pathlib import Path; from cot_distill_datasets.release import read_release; "
        "print('reading', flush=True); print(read_release(Path(sys.argv[1])).version)"
    )
    with locked(tmp_path / "release"):
        process = subprocess.Popen(
            [sys.executable, "-c", reader, str(tmp_path / "release")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdout.readline() == "reading\n"
        time.sleep(0.5)
        assert (tmp_path / ".release.old").is_dir() and process.poll() is None
    assert process.stdout.read().strip() == "0.1.0" and process.wait() == 0
    process.stdout.close()


KILLS = 20
BUILDS = (  # again and again, so that a kill falls on any moment of a build and of the swap at its end
    "import sys; from pathlib import Path; from cot_distill_datasets import arith\n"
    "from cot_distill_datasets.build import build\n"
    "arith.TRAIN_SIZE = 20\nprint('ready', flush=True)\nwhile True: build(Path(sys.argv[1]))"
)


def test_a_kill_at_any_moment_leaves_a_whole_release(tmp_path: Path, few_problems: None) -> None:
    out, moments = tmp_path / "release", random.Random(3)
    build(out)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDS, str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout
        with process, process.stdout:
            process.stdout.readline()
            time.sleep(moments.uniform(0.0, 1.0))
            process.send_signal(signal.SIGKILL)
        release = read_release(out)
        assert release is not None
        for stats in release.configs:
            assert sha256((out / stats.file).read_bytes()).hexdigest()[:16] in stats.file
    build(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".release.lock", "release"]


def test_a_kill_between_the_two_renames_is_undone(tmp_path: Path, workplace: Path) -> None:
    out = tmp_path / "release"
    shutil.copytree(workplace / "eit/cot-distill", tmp_path / ".release.old")
    assert read_release(out) is not None
    assert sorted(os.listdir(tmp_path)) == [".release.lock", "release"]

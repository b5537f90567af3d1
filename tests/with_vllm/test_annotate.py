"""`cot-distill annotate` with a real `vllm serve`: SmolLM2-135M on a CPU writes CoT, badly, and all of it is kept."""

import json
from pathlib import Path

import pytest


pytest.importorskip("vllm", reason="`make test-vllm` has an environment with vLLM")

from annotation import keys, lines, reasons
from pretrained import unpack
from support import build_questions
from vllm_server import NAME, serve

from cot_distill_datasets.cli import main


STORE = Path("annotations/smollm2_135m")
QUESTIONS, MAX_TOKENS = 6, 48


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SmolLM2-135M and a release."""
    folder = build_questions(tmp_path_factory.mktemp("teacher"), QUESTIONS)
    unpack(folder / NAME)
    return folder


def _annotate(url: str, *more: str) -> int:
    words = ["--teacher", "smollm2_135m", "--model", NAME, "--base-url", f"{url}/v1", "--benchmark", "arith"]
    options = ["--granularity", "l1", "l3", "--max-tokens", str(MAX_TOKENS), "--temperature", "0", "--no-gate"]
    return main(["annotate", *words, *options, *more])


def test_every_answer_of_vllm_is_stored_with_its_tokens_and_a_rerun_sends_nothing(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eit").symlink_to(teacher / "eit")
    with serve(teacher / NAME, tmp_path / "serve.log") as url:
        code = _annotate(url)
        assert len(set(keys(STORE))) == len(lines(STORE)) == 2 * QUESTIONS
        for line in lines(STORE):
            assert line["prompt_tokens"] > 50 and 0 < line["output_tokens"] <= MAX_TOKENS and line["seconds"] > 0
            assert line["finish_reason"] == "stop" or line["output_tokens"] == MAX_TOKENS
        counts = reasons(STORE)
        assert code == (0 if counts["kept"] == 2 * QUESTIONS else 1)
        assert counts["truncated"] == sum(line["finish_reason"] == "length" for line in lines(STORE))
        capsys.readouterr()
        assert _annotate(url, "--model", "smolm2") == 2
        assert "use `smollm2`" in capsys.readouterr().err
    assert _annotate("http://127.0.0.1:9", "--dry-run") == 0  # nothing is missing
    assert [row.split("\t")[1] for row in capsys.readouterr().out.splitlines()[-2:]] == ["0", "0"]
    with capsys.disabled():
        print(f"\nSmolLM2-135M as a teacher of `arith`, {2 * QUESTIONS} answers: {dict(counts)}")


def test_a_model_without_a_chat_template_is_one_sentence(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eit").symlink_to(teacher / "eit")
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in (teacher / NAME).iterdir():
        if path.name == "tokenizer_config.json":
            config = json.loads(path.read_text())
            config.pop("chat_template", None)
            (bare / path.name).write_text(json.dumps(config))
        elif path.name != "chat_template.jinja":
            (bare / path.name).symlink_to(path)
    with serve(bare, tmp_path / "serve.log") as url:
        assert _annotate(url) == 2
    assert "chat template" in capsys.readouterr().err.splitlines()[-1]

"""The command line: its help, its suggestions for mistyped words, and the time that it takes to start."""

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from cot_distill_datasets.cli import main, make_parser


COMMANDS = (
    "build", "audit", "publish", "export", "train", "evaluate", "report", "compare", "card", "publish-student", "demo",
    "study", "recommend", "annotate", "explore",
)  # fmt: skip
HEAVY = ("datasets", "torch", "transformers", "lm_eval", "pyarrow")  # each takes about a second or more


def _rejected(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that rejects `args`, with exit code 2."""
    with pytest.raises(SystemExit) as raised:
        main(args)
    output = capsys.readouterr()
    assert (raised.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    return output.err


def _help(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as raised:
        main([*args, "--help"])
    assert raised.value.code == 0
    return capsys.readouterr().out


def test_without_a_command_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert tuple(re.findall(r"^    ([\w-]+)(?:  |$)", text, re.MULTILINE)) == COMMANDS
    assert _help([], capsys) == text


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert (raised.value.code, capsys.readouterr().out) == (0, f"cot-distill {version('cot-distill')}\n")


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[pytest.mark.slow] * (name == "train")) for name in COMMANDS]
)
def test_the_help_of_a_command_ends_with_an_example_that_parses(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    program, *args = shlex.split(_help([command], capsys).strip().splitlines()[-1].removeprefix("Example: "))
    assert (program, args[0]) == ("cot-distill", command)
    make_parser().parse_args(args)


@pytest.mark.parametrize(
    ("args", "unknown", "nearest"),
    [
        (["biuld"], "biuld", "build"),
        (["evalute", "runs/demo"], "evalute", "evaluate"),
        (["--versoin"], "--versoin", "--version"),
        (["build", "--editon", "paper"], "--editon", "--edition"),
        (["build", "--upstrem=x"], "--upstrem", "--upstream"),
        (["publish", "--repo-id", "a/b", "--dryrun"], "--dryrun", "--dry-run"),
        (["build", "--edition", "papr"], "papr", "paper"),
        (["evaluate", "runs/demo", "--tasks", "cot_arith", "--backend", "vlm"], "vlm", "vllm"),
        (["export", "--to", "llama-factory", "--out", "x"], "llama-factory", "llamafactory"),
    ],
)
def test_a_mistyped_command_option_or_choice_is_rejected_with_the_nearest(
    args: list[str], unknown: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"unknown `{unknown}`: use `{nearest}`" in _rejected(args, capsys).replace("unknown option", "unknown")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["publish"], "--repo-id"),
        (["evaluate", "runs/demo"], "--tasks"),
        (["evaluate", "runs/demo", "--tasks", "cot_arith", "--limit", "0"], "'0'"),
        (["evaluate", "runs/demo", "--tasks", "cot_arith", "--limit", "-3"], "--limit"),
        (["evaluate", "runs/demo", "--tasks", "cot_arith", "--model-args", "dtype"], "'dtype'"),
        (["report"], "STUDENT"),
        (["compare", "a"], "B"),
        (["compare", "a", "b", "--margin", "-1"], "'-1'"),
        (["compare", "a", "b", "--margin", "nan"], "'nan'"),
    ],
)
def test_a_missing_or_wrong_argument_is_named(args: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = _rejected(args, capsys)
    assert named in error
    assert f"cot-distill {args[0]} --help" in error


@pytest.mark.parametrize("path", ["", "loop", "\udcff", "x" * 300])
@pytest.mark.parametrize(
    "args",
    [
        ["build", "--out"], ["build", "--benchmarks"], ["audit"], ["publish", "--repo-id", "a/b"],
        ["export", "--to", "llamafactory", "--out"], ["evaluate", "--tasks", "cot_arith", "--release"],
        ["evaluate", "--tasks", "cot_arith", "--"], ["report"], ["report", "s", "--out"], ["card"],
    ],
)  # fmt: skip
def test_a_path_that_no_file_can_have_is_rejected(
    args: list[str], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert (repr(path) if path else "empty") in _rejected([*args, path], capsys)
    assert [entry.name for entry in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize(
    "args",
    [["audit", "/"], ["publish", "/", "--repo-id", "a/b"], ["build", "--out", "/"], ["evaluate", "/", "--tasks", "x"]],
)
def test_the_root_folder_is_rejected(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(r"(?<= )/(?=[: ])", error)


@pytest.mark.parametrize(
    ("args", "module", "extra"),
    [
        (["train", "--max_steps", "2"], "torch", "train"),
        (["demo"], "transformers", "train,eval,study"),
        (["recommend", "s", "--benchmark", "arith", "--configs", "human-arith"], "transformers", "train,eval,study"),
        (["evaluate", "s", "--tasks", "cot_arith"], "transformers", "eval"),
        (["evaluate", "s", "--tasks", "cot_arith", "--model-args", "dtype=float32"], "lm_eval", "eval"),
        (["report", "s"], "transformers", "eval"),
        (["card", "s"], "transformers", "eval"),
        (["explore"], "gradio", "explore"),
    ],
)
def test_a_missing_extra_is_one_sentence_with_its_pip_install(
    args: list[str], module: str, extra: str, tmp_path: Path
) -> None:
    """In its own process, where a module that is None in `sys.modules` cannot be imported."""
    code = (
        "import sys; from cot_distill_datasets.cli import main\n"
        f"sys.modules[{module!r}] = None; sys.exit(main({args!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"`{args[0]}` needs {module}: run `pip install 'cot-distill[{extra}]'`" in ended.stderr
    assert not any(tmp_path.iterdir())


def test_train_passes_every_argument_on_but_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = []
    launcher = SimpleNamespace(launch=lambda arguments, profile: launched.append((arguments, profile)) or 2)
    monkeypatch.setitem(sys.modules, "cot_distill_datasets.training.launch", launcher)
    arguments = ["--max_steps", "2", "--config=smollm2-135m", "--dataset_config", "0.2*a + 0.8*b", "--untrained", "-1"]
    assert main(["train", *arguments, "--accelerate", "ddp", "--seed", "7"]) == 2
    assert launched == [([*arguments, "--seed", "7"], "ddp")]


def test_the_parser_imports_no_heavy_library() -> None:
    code = (
        "import sys; from cot_distill_datasets.cli import make_parser; make_parser()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()).isdisjoint(HEAVY)

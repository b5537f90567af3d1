"""The README's commands are real: verbs, targets, scripts, recipes and tasks exist under the names it types."""

import re
import shlex
from pathlib import Path

import pytest

from cot_distill_datasets.cli import _parser


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_the_readme_has_the_promised_commands() -> None:
    assert {"make demo", "make test", "accelerate launch training/sft.py"} <= set(COMMANDS)
    assert 'load_dataset("eit/cot-distill", "oracle-fine-arith")' in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_what_exists(command: str) -> None:
    program, *args = shlex.split(re.sub(r"^(?:\w+=\S+ )?(?:\.venv-vllm/bin/)?", "", command))
    if program == "make":
        assert f"\n{args[0]}: " in (ROOT / "Makefile").read_text()
    elif program == "cot-distill":
        _parser().parse_args(args)
    elif program == "accelerate":
        files = [arg for arg in args if "/" in arg and not arg.startswith("runs/")]
        assert files and all((ROOT / file).is_file() for file in files)
    else:
        assert program == "lm_eval" and "--apply_chat_template" in args
        task = args[args.index("--tasks") + 1]
        assert (ROOT / f"eval_tasks/{task}/{task}.yaml").is_file()


def test_the_file_tree_names_every_module_and_no_other() -> None:
    named = set(re.findall(r"^  (\w+\.py) ", README, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "cot_distill_datasets").glob("*.py")} - {"__init__.py"}


def test_pictures_of_the_readme_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures and all((ROOT / picture).is_file() for picture in pictures)

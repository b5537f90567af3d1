"""The README's commands are real: commands, targets, scripts, recipes and tasks exist under the names it prints."""

import re
import shlex

import pytest
from support import ROOT

from cot_distill_datasets.cli import make_parser
from cot_distill_datasets.release.editions import EDITIONS


README = (ROOT / "README.md").read_text()
PAGES = {"README.md": README, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
COMMANDS = [
    line.split("  #")[0].strip()
    for page in PAGES.values()
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_the_readme_has_the_promised_commands() -> None:
    assert {"make demo", "make test", "accelerate launch training/sft.py"} <= set(COMMANDS)
    assert 'load_dataset("eit/cot-distill", "oracle-fine-arith")' in README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200
    assert len(README.split()) <= 1500


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str) -> None:
    program, *args = shlex.split(re.sub(r"^(?:\w+=\S+ )?(?:\.venv(?:-vllm)?/bin/)?", "", command))
    if program == "make":
        assert f"\n{args[0]}: " in (ROOT / "Makefile").read_text()
    elif program == "cot-distill":
        make_parser().parse_args(args)
    elif program == "pytest":
        assert (ROOT / args[0]).is_dir()
    elif program == "accelerate":
        files = [arg for arg in args if "/" in arg and not arg.startswith("runs/")]
        assert files and all((ROOT / file).is_file() for file in files)
    else:
        assert program == "lm_eval" and "--apply_chat_template" in args
        task = args[args.index("--tasks") + 1]
        assert (ROOT / f"eval_tasks/{task}/{task}.yaml").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGES[page])
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "path", re.findall(r"`((?:cot_distill_datasets|eval_tasks|training|tests)/[\w./-]+)`", str(PAGES))
)
def test_every_named_path_exists(path: str) -> None:
    assert "NAME" in path or (ROOT / path).exists()


def test_the_table_of_editions_is_that_of_the_package() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)`(?: \(default\))? \| (.*) \|$", README.partition("| `--edition` |")[2], re.MULTILINE)
    )
    assert {name: rows[name] for name in EDITIONS} == {name: edition.summary for name, edition in EDITIONS.items()}


def test_the_tables_of_recipes_name_every_recipe() -> None:
    recipes = {path.stem for path in (ROOT / "training/recipes").glob("*.yaml")}
    table = README.partition("| recipe |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([\w.-]+)`", table)) >= recipes

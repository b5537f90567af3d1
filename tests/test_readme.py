"""The README's commands are real: commands, targets, scripts, recipes and tasks exist under the names it prints."""

import json
import re
import shlex
import tomllib

import pytest
import yaml
from support import ROOT

from cot_distill_datasets.benchmarks import TEST_SPLITS
from cot_distill_datasets.cli import make_parser
from cot_distill_datasets.names import HOME_PAGE, ConfigName
from cot_distill_datasets.release.editions import EDITIONS
from cot_distill_datasets.sources import arith


README = (ROOT / "README.md").read_text()
PAGES = {"README.md": README, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
COMMANDS = [
    line.split("  #")[0].strip()
    for page in PAGES.values()
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
INSTALLS = [
    ["install", "cot-distill"],
    ["install", "cot-distill[train,eval,study]"],
    ["clone", "https://github.com/EIT-NLP/Distilling-CoT-Reasoning", "../shared/upstream"],
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
    elif program in ("pip", "git"):
        assert args in INSTALLS
    elif program == "pytest":
        assert (ROOT / args[0]).is_dir()
    elif program == "accelerate":
        assert args[:2] == ["launch", "training/sft.py"] and (ROOT / args[1]).is_file()
        for name in args[3:4] if args[2:3] == ["--config"] else []:
            assert (ROOT / f"training/recipes/{name}.yaml").is_file()
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


def test_the_sample_row_is_the_first_of_its_config(few_problems: None) -> None:
    (sample,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", README, re.DOTALL))
    first = arith.source().readers[ConfigName.parse("oracle-l3-arith")]({}).rows[0]
    assert sample == {name: first[name] for name in sample}


def test_the_home_page_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"] == HOME_PAGE
    assert f"]({HOME_PAGE})" in README


def test_the_readme_and_the_page_of_the_tasks_name_every_group_and_task() -> None:
    page = (ROOT / "eval_tasks/README.md").read_text()
    groups = [yaml.safe_load(path.read_text())["group"] for path in (ROOT / "eval_tasks").glob("*.yaml")]
    assert [name for name in groups if f"`{name}`" not in README or f"`{name}`" not in page] == []
    assert [name for name in TEST_SPLITS if f"`cot_{name}`" not in page] == []

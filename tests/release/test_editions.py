"""Every edition has the rows that it promises, and only `editions.py` compares the name of an edition."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from support import ROOT, copy_upstream

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.editions import DEFAULT_EDITION, EDITIONS, Edition


def test_an_unknown_edition_is_rejected_with_the_nearest_name() -> None:
    assert [Edition.parse(name) for name in EDITIONS] == list(EDITIONS.values())
    with pytest.raises(CotDistillError, match=r"'allinged': use `aligned`"):
        Edition.parse("allinged")


def test_a_branch_or_tag_names_its_edition() -> None:
    assert {edition.revision: Edition.of_revision(edition.revision) for edition in EDITIONS.values()} == {
        "main": DEFAULT_EDITION, "paper": EDITIONS["paper"], "aligned": EDITIONS["aligned"],
    }  # fmt: skip
    assert Edition.of_revision("v0.1.0") is DEFAULT_EDITION
    assert Edition.of_revision("v0.1.0-paper") is EDITIONS["paper"]
    assert Edition.of_revision("0123abcd") is Edition.of_revision(None) is None


def _names_in_python(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and node.value in EDITIONS:
            yield node.lineno


def _names_in_template(path: Path) -> Iterator[int]:
    for node in Environment().parse(path.read_text()).find_all(nodes.Const):
        if node.value in EDITIONS:
            yield node.lineno


def test_no_code_outside_of_editions_has_the_name_of_an_edition() -> None:
    """A comparison, a dictionary key or `endswith` with a name would be a difference that `Edition` does not show."""
    definitions = ROOT / "cot_distill_datasets/release/editions.py"
    modules = [*(ROOT / "cot_distill_datasets").rglob("*.py"), ROOT / "training/sft.py"]
    templates = list((ROOT / "cards").glob("*.jinja"))
    assert definitions in modules and len(modules) > 40 and len(templates) > 4
    assert len(list(_names_in_python(definitions))) >= len(EDITIONS)  # the scan finds names
    names = [(path, line) for path in modules if path != definitions for line in _names_in_python(path)]
    assert names + [(path, line) for path in templates for line in _names_in_template(path)] == []


def test_the_readme_lists_every_edition() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in EDITIONS if not re.search(rf"^\| `{name}`", readme, re.MULTILINE)] == []


def test_a_benchmark_without_a_test_split_is_skipped_unless_unchecked_or_in_the_paper_edition(
    tmp_path: Path, stand_in: Path, few_problems: None
) -> None:
    no_tests = copy_upstream(stand_in, tmp_path / "upstream", "auqa_only_ans", "stqa_only_ans")
    skipped = build(tmp_path / "out", no_tests)
    assert list(skipped.left_out) == ["answer-aqua"]
    assert {"aqua", "--benchmarks,", "--unchecked"} <= set(skipped.left_out["answer-aqua"].split())
    kept = build(tmp_path / "out", no_tests, unchecked=True)
    assert (kept.unchecked, kept.left_out) == (["aqua"], {})
    assert re.search(r"Not checked for leaks.* aqua ", (tmp_path / "out/README.md").read_text())
    paper = build(tmp_path / "paper", no_tests, edition="paper")
    assert {"answer-aqua", "answer-strategyqa"} <= {stats.name for stats in paper.configs}

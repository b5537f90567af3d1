"""A release is built, audited and exported from the stand-in in `tests/data`, which has every layout and defect."""

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from support import ROOT, alter_rows, run_build

from cot_distill_datasets.benchmarks import BENCHMARKS, TEST_SPLITS
from cot_distill_datasets.release.audit import audit, passed
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.editions import EDITIONS
from cot_distill_datasets.release.export import export_llamafactory
from cot_distill_datasets.release.folder import DROPPED, ConfigStats, require_release
from cot_distill_datasets.schema import FEATURES, FINDINGS, Row
from cot_distill_datasets.sources import arith, generated, upstream
from cot_distill_datasets.sources.manifest import data_folder
from cot_distill_datasets.sources.repairs import REPAIRS


# Flags and reasons of a user's own rows (`tests/sources/test_own_rows.py`).
OF_OWN_ROWS = {"ngram_in_test", "near_test", "system_turn", "several_turns", "tool_call", "unreadable"}
# Config → rows read, and rows kept in the editions clean, paper and aligned.
ROWS = {
    "answer-aqua": (3, 2, 2, 2),
    "answer-csqa": (2, 2, 2, 2),
    "answer-gsm8k": (2, 2, 2, 2),
    "answer-math": (4, 2, 3, 2),
    "answer-obqa": (2, 2, 2, 2),
    "answer-strategyqa": (2, 2, 2, 2),
    "answer-svamp": (3, 3, 3, 3),
    "gemini-l1-csqa": (2, 2, 2, 2),
    "gemini-l1-math": (3, 1, 2, 1),
    "gpt4o-l1-math": (4, 2, 4, 2),
    "gpt4o-l1-obqa": (3, 3, 3, 1),
    "gpt4o-l1-strategyqa": (2, 2, 2, 2),
    "gpt4o-l1-svamp": (3, 2, 3, 1),
    "gpt4o-l2-svamp": (2, 2, 2, 1),
    "gpt4o-l3-l2m-obqa": (2, 2, 2, 1),
    "gpt4o-l3-rar-obqa": (1, 1, 1, 1),
    "gpt4o-l3-symbolic-svamp": (2, 2, 2, 1),
    "gpt4o-l5-l2m-svamp": (2, 1, 2, 1),
    "gpt4o-l5-rar-svamp": (2, 2, 2, 1),
    "gpt4o-l5-svamp": (3, 3, 3, 1),
    "human-aqua": (3, 2, 3, 2),
    "human-math": (4, 2, 3, 2),
    "human-strategyqa": (3, 2, 3, 2),
    "human-svamp": (3, 3, 3, 3),
    "llama70b-l1-aqua": (4, 1, 3, 1),
    "llama70b-l1-gsm8k": (3, 2, 3, 2),
    "llama70b-l1-strategyqa": (2, 1, 1, 1),
}
TEST_ROWS = {"svamp": 2, "gsm8k": 1, "aqua": 1, "math": 1, "csqa": 1, "obqa": 1, "strategyqa": 1, "math500": 1}

# Edition → config → reason → rows. Configs from which nothing was dropped are not listed.
UNREADABLE = {
    "answer-aqua": {"no_answer": 1},
    "answer-math": {"no_answer": 1},
    "gemini-l1-math": {"other_teacher": 1},
    "human-math": {"no_answer": 1},
    "llama70b-l1-aqua": {"no_answer": 1},
    "llama70b-l1-strategyqa": {"empty": 1},
}
CLEAN = UNREADABLE | {
    "answer-math": {"no_answer": 1, "leaked": 1},
    "gemini-l1-math": {"other_teacher": 1, "cut_text": 1},
    "gpt4o-l1-math": {"leaked": 1, "doubtful_gold": 1},
    "gpt4o-l1-svamp": {"contradicting": 1},
    "gpt4o-l5-l2m-svamp": {"contradicting": 1},
    "human-aqua": {"doubtful_gold": 1},
    "human-math": {"no_answer": 1, "leaked": 1},
    "human-strategyqa": {"leaked": 1},
    "llama70b-l1-aqua": {"no_answer": 1, "no_conclusion": 1, "no_rationale": 1},
    "llama70b-l1-gsm8k": {"denied": 1},
}
ALIGNED = CLEAN | {
    "gpt4o-l1-obqa": {"unaligned": 2},
    "gpt4o-l1-svamp": {"contradicting": 1, "unaligned": 1},
    "gpt4o-l2-svamp": {"unaligned": 1},
    "gpt4o-l3-l2m-obqa": {"unaligned": 1},
    "gpt4o-l3-symbolic-svamp": {"unaligned": 1},
    "gpt4o-l5-rar-svamp": {"unaligned": 1},
    "gpt4o-l5-svamp": {"unaligned": 2},
}
REASONS = {"clean": CLEAN, "paper": UNREADABLE, "aligned": ALIGNED}


@pytest.fixture(scope="module")
def releases(
    tmp_path_factory: pytest.TempPathFactory, stand_in: Path, stand_in_benchmarks: Path, stand_in_release: Path
) -> Path:
    """A folder with the audited release of each edition, by its name."""
    folder = tmp_path_factory.mktemp("editions")
    shutil.copytree(stand_in_release, folder / "clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 20)
        patch.setattr(arith, "TEST_SIZE", 20)
        for edition in ("paper", "aligned"):
            build(folder / edition, stand_in, stand_in_benchmarks, edition=edition)
    for edition in EDITIONS:
        audit(folder / edition)
    return folder


def _from_files(folder: Path) -> dict[str, ConfigStats]:
    """Return the training configs that were read from the stand-in's files, by name."""
    return {stats.name: stats for stats in require_release(folder).training if stats.config.benchmark != "arith"}


def _rows(folder: Path, config: str) -> list[Row]:
    (path,) = (folder / "data" / config).iterdir()
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("edition", EDITIONS)
def test_each_config_keeps_and_drops_its_rows(releases: Path, edition: str) -> None:
    column = 1 + list(EDITIONS).index(edition)
    found = _from_files(releases / edition)
    assert {name: (stats.rows_in, stats.rows) for name, stats in found.items()} == {
        name: (counts[0], counts[column]) for name, counts in ROWS.items()
    }
    assert {name: stats.dropped for name, stats in found.items() if stats.dropped} == REASONS[edition]


def test_the_stand_in_has_every_flag_reason_and_benchmark(releases: Path) -> None:
    found = [stats for edition in EDITIONS for stats in _from_files(releases / edition).values()]
    assert {flag for stats in found for flag in stats.flags} == REPAIRS.keys() | FINDINGS.keys() - OF_OWN_ROWS
    of_others = OF_OWN_ROWS | generated.DROPPED.keys()
    assert {reason for stats in found for reason in stats.dropped} == DROPPED.keys() - of_others
    assert {stats.config.benchmark for stats in found} == {
        "svamp",
        "gsm8k",
        "aqua",
        "math",
        "csqa",
        "obqa",
        "strategyqa",
    }
    names = {stats.name: stats.rows for stats in require_release(releases / "clean").configs if stats.split == "test"}
    assert names == {"eval-arith": 20} | {f"eval-{name}": rows for name, rows in TEST_ROWS.items()}
    assert names.keys() == {f"eval-{name}" for name in TEST_SPLITS}


def test_the_flagged_rows_are_those_of_the_readme(releases: Path) -> None:
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "tests/data/README.md").read_text(), re.MULTILINE)
    expected = {flag: set(re.findall(r"`(.*?)`", rows)) for flag, rows in table}
    found = defaultdict(set)
    for config in _from_files(releases / "paper"):
        for row in _rows(releases / "paper", config):
            for flag in row["flags"]:
                found[flag].add(row["source"].removeprefix("data/"))
    assert found == expected


def test_missing_files_are_listed(
    releases: Path, tmp_path: Path, stand_in: Path, stand_in_benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {
        "gpt4o-l1-aqua": "aqua_chatgpt_level1_ranked.json",
        "human-csqa": "ecqa_train.json",
        "llama70b-l1-math": "math_llama_level1_ranked.json",
        "llama70b-l4-svamp": "SVAMP_llama_level4_ranked.json",
    }
    release = require_release(releases / "clean")
    assert (release.absent, release.left_out, release.unchecked) == (missing, {}, [])
    assert all(file in (releases / "clean/README.md").read_text() for file in missing.values())
    assert run_build(tmp_path / "strict", stand_in, stand_in_benchmarks, "--strict") == 2
    error = capsys.readouterr().err
    assert all(name in error for name in missing)
    assert not (tmp_path / "strict").exists()


def test_golds_are_read_and_repaired(stand_in: Path) -> None:
    golds = defaultdict(list)
    for id_, gold in upstream.source(data_folder(stand_in), BENCHMARKS).golds.items():
        golds[id_.partition("-")[0]].append(gold.answer)
    assert golds == {
        "aqua": ["C", "C", None],
        "csqa": ["B", "E"],
        "gsm8k": ["8", "270"],
        "math": ["4", r"3\sqrt{5}", "3", None],
        "obqa": ["B", "B"],
        "strategyqa": ["False", "True"],
        "svamp": ["23", "8", "18"],
    }


@pytest.mark.parametrize(
    ("config", "row", "completion"),
    [
        ("gemini-l1-math", 0, "We compute $\\frac{1}{3} \\times 12 = 4$.\nThe answer is 4"),
        ("gpt4o-l1-math", 0, "$\\frac{12}{3} = 4$.\nThe answer is 4"),
        ("gpt4o-l1-math", 1, "The side is the root of the area.\nThe answer is 3\\sqrt{5}"),
        ("gpt4o-l1-strategyqa", 0, "A grand piano is far larger than a mailbox.\nThe answer is False"),
        (
            "gpt4o-l1-strategyqa",
            1,
            "1. Oslo is colder than Cairo. \n2. Snow lasts in the cold.\nThe answer is True",
        ),
        ("gemini-l1-csqa", 1, "An umbrella keeps people dry.\nThe answer is E"),
        ("human-svamp", 0, "14.0 + 9.0 = 23.0.\nThe answer is 23"),
        ("human-aqua", 1, "One pen costs $2, and 5 pens cost $10.\nThe answer is C"),
        ("gpt4o-l5-svamp", 0, "Nora starts with 14 shells. She finds 9 more. 14 + 9 = 23.\nThe answer is 23"),
        ("llama70b-l1-gsm8k", 0, "6 * 7 = 42.\n50 - 42 = 8.\nThe answer is 8"),
        ("answer-aqua", 1, "The answer is C"),
    ],
)
def test_completions_are_repaired_and_close_once(releases: Path, config: str, row: int, completion: str) -> None:
    assert _rows(releases / "clean", config)[row]["completion"] == [{"role": "assistant", "content": completion}]


def test_the_paper_edition_has_the_teachers_own_text(releases: Path) -> None:
    def text(config: str, row: int) -> str:
        return str(_rows(releases / "paper", config)[row]["completion"][0]["content"])

    appended = "Subtract the pages that he read: 35 - 17 = 28. The answer is 28. The answer is 18"
    assert text("gpt4o-l1-svamp", 2) == appended
    assert text("gpt4o-l1-strategyqa", 0) == "A grand piano is far larger than a mailbox. The answer is False"
    assert text("answer-csqa", 0) == "B"
    assert text("llama70b-l1-gsm8k", 0) == "6 * 7 = 42.\n50 - 42 = 8.\n#### 8"


def test_options_are_read_from_every_layout(releases: Path) -> None:
    choices = {
        config: [row["choices"] for row in _rows(releases / "clean", config)]
        for config in ("answer-aqua", "answer-csqa", "answer-obqa", "eval-aqua", "eval-csqa", "eval-obqa")
    }
    assert choices["answer-aqua"] == [["5", "10", "15", "20", "60"], ["$8", "$9", "$10", "$11", "$12"]]
    assert choices["answer-csqa"][0] == ["oven", "fridge", "desk", "shelf, sunny side", "lap"]
    assert choices["answer-obqa"][0] == ["grow fast", "turn pale", "bear fruit", "melt"]
    assert choices["eval-aqua"] == [["8", "10", "12", "16", "20"]]
    assert choices["eval-csqa"] == [["pond", "roof", "sofa", "river", "St. B. Road"]]
    assert choices["eval-obqa"] == [["heated", "stirred", "cooled", "spilled"]]


def test_a_question_has_one_id_in_all_configs(releases: Path) -> None:
    """`SVAMP_ChatGPT_level5_ranked.json` lost a space and has a curly quote."""

    def ids(edition: str, config: str) -> list[str]:
        return [row["id"] for row in _rows(releases / edition, config)]

    assert ids("clean", "gpt4o-l5-svamp") == ids("clean", "answer-svamp") == ids("clean", "human-svamp")
    assert ids("clean", "gpt4o-l1-svamp") == ids("clean", "answer-svamp")[:2]
    assert ids("clean", "gpt4o-l5-rar-svamp") == ids("clean", "gpt4o-l3-symbolic-svamp")
    gpt4o = [name for name in ROWS if name.startswith("gpt4o") and name.endswith("svamp")]
    assert len(gpt4o) == 6
    assert all(ids("aligned", name) == ids("clean", "answer-svamp")[:1] for name in gpt4o)
    assert ids("paper", "human-strategyqa")[2:] == ids("paper", "eval-strategyqa")
    assert ids("paper", "gpt4o-l1-math")[2:3] == ids("paper", "eval-math500")


@pytest.mark.parametrize("edition", EDITIONS)
def test_each_edition_passes_its_audit(releases: Path, edition: str) -> None:
    assert json.loads((releases / edition / "audit.json").read_bytes())["broken"] == []
    assert passed(releases / edition)


def test_the_audit_counts_the_overlap_with_the_test_splits(releases: Path) -> None:
    found = json.loads((releases / "paper/audit.json").read_bytes())
    configs = {config["stats"]["name"]: config for config in found["configs"]}
    assert configs["human-strategyqa"]["in_test"] == configs["gpt4o-l1-math"]["in_test"] == 1
    assert configs["gpt4o-l1-obqa"]["stem_in_test"] == configs["gpt4o-l1-obqa"]["exact_duplicates"] == 1
    assert configs["answer-svamp"]["ngram_in_test"] == configs["answer-svamp"]["near_test"] == 1
    flagged = {how: [id_ for id_ in ids if not id_.startswith("arith-")] for how, ids in found["flagged"].items()}
    assert {how: len(ids) for how, ids in flagged.items()} == {"stem": 1, "ngram": 1, "near": 1}
    (svamp,) = (c for c in found["comparisons"] if (c["teacher"], c["benchmark"]) == ("gpt4o", "svamp"))
    assert (list(svamp["words"]), svamp["shared"], svamp["questions"]) == (["l1", "l2", "l5"], 2, 3)


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_dataset_card_and_the_audit_page_list_every_flag(releases: Path, edition: str) -> None:
    card, page = ((releases / edition / name).read_text() for name in ("README.md", "audit.md"))
    training = _from_files(releases / edition).values()
    read, kept, dropped = (
        sum((Counter(getattr(stats, name)) for stats in training), Counter[str]())
        for name in ("flags", "kept_flags", "dropped")
    )
    assert all(
        f"| `{flag}` | {read[flag]} | {kept[flag]} |" in card
        for flag in REPAIRS.keys() | FINDINGS.keys() - OF_OWN_ROWS
    )
    assert all(f"| {reason} | {count} |" in card for reason, count in dropped.items())
    for stats in training:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{stats.name}` | {stats.rows_in} |"))
        assert all(f" {flag} {count}" in row for flag, count in (stats.flags | stats.dropped).items())


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["prompt"][0].update(content="Where?"),
        lambda row: row["completion"][0].update(content="The answer is E"),
        lambda row: row.update(answer="E"),
        lambda row: row["flags"].append("denied"),
    ],
    ids=["prompt", "completion", "answer", "flags"],
)
def test_the_audit_finds_a_tampered_row(tmp_path: Path, stand_in_release: Path, change: Callable[[Row], None]) -> None:
    shutil.copytree(stand_in_release, tmp_path / "release")
    alter_rows(tmp_path / "release", "gemini-l1-csqa", lambda rows: change(rows[0]))
    broken = audit(tmp_path / "release").broken
    assert broken and all(sentence.startswith("gemini-l1-csqa: 1 rows ") for sentence in broken)
    assert all("data/csqa_gemini_level1_ranked.json#0" in sentence for sentence in broken)
    assert not passed(tmp_path / "release")


def test_a_config_and_its_alias_load_the_same_rows(releases: Path) -> None:
    folder = str(releases / "clean")
    rows = load_dataset(folder, "gpt4o-l5-svamp", split="train")
    assert rows.features == FEATURES
    assert rows["answer"][:] == ["23", "8", "18"]
    assert rows.to_list() == load_dataset(folder, "gpt4o-fine-svamp", split="train").to_list()
    assert load_dataset(folder, "eval-math", split="test")["answer"][:] == [r"\frac{3}{4}"]


def test_a_release_is_exported(tmp_path: Path, releases: Path) -> None:
    export_llamafactory(releases / "clean", tmp_path / "out", ["gpt4o-fine-svamp"])
    assert list(json.loads((tmp_path / "out/dataset_info.json").read_bytes())) == [
        "gpt4o-fine-svamp",
        "gpt4o-l5-svamp",
    ]
    lines = (tmp_path / "out/gpt4o-l5-svamp.jsonl").read_text().splitlines()
    assert [json.loads(line)["messages"] for line in lines] == [
        row["prompt"] + row["completion"] for row in _rows(releases / "clean", "gpt4o-l5-svamp")
    ]

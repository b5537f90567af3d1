"""A question set of the user's own: its leaks are found, and the release, its card, audit and export know it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset
from hub_server import HubServer
from huggingface_hub import DatasetCard, constants
from support import ROOT, alter_rows, own_rows, read_config

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.release.audit import audit
from cot_distill_datasets.release.folder import own_benchmark, require_release
from cot_distill_datasets.schema import question_id
from cot_distill_datasets.training.data import load_rows


pytestmark = pytest.mark.usefixtures("few_problems")
SHOP = ["--teacher", "qwen3", "--granularity", "l3", "--benchmark", "shop", "--answer-kind", "number"]


def _build(source: str | Path, out: Path, *more: str) -> int:
    return main(["build", "--rows", str(source), *SHOP, "--out", str(out), *more])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A release with 60 questions of a user's own, 20 of them held out."""
    source = own_rows(tmp_path / "solutions.jsonl", range(60))
    assert _build(source, tmp_path / "release", "--test-rows", "20", "--license", "cc-by-4.0") == 0
    return tmp_path / "release"


def _question(benchmarks: Path) -> str:
    row = json.loads((benchmarks / "gsm8k/test.jsonl").read_text().splitlines()[0])
    return str(row["question"])


def test_own_questions_that_leak_a_test_question_of_any_benchmark_are_found_and_dropped(
    tmp_path: Path, stand_in_benchmarks: Path
) -> None:
    question = _question(stand_in_benchmarks)
    words = question.split()
    start, end = (
        " ".join(words[:13]),
        "and nobody knows how it went on until the sun rose over the hills. How long?",
    )
    questions = {
        "in_test": f"  {question.upper()} ",
        "near_test": " ".join([words[0], "Zoe", *words[2:]]),
        "ngram_in_test": f"Before that, it rained. {start}, {end}",
        "nothing": "How many pens are 2 pens and 2 pens?",
    }
    rows = [{"question": text, "answer": "So 2 + 2 = 4.\n#### 4"} for text in questions.values()]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    checked = ["--benchmarks", str(stand_in_benchmarks)]
    assert _build(tmp_path / "own.jsonl", tmp_path / "clean", *checked) == 0
    (stats,) = (stats for stats in require_release(tmp_path / "clean").configs if stats.name == "qwen3-l3-shop")
    assert stats.rows == 1
    assert stats.dropped["leaked"] == 1 and sum(stats.dropped.values()) == 3
    assert {"near_test", "ngram_in_test"} <= stats.flags.keys()
    assert audit(tmp_path / "clean").broken == []
    assert _build(tmp_path / "own.jsonl", tmp_path / "unaware") == 0
    assert len(read_config(tmp_path / "unaware", "qwen3-l3-shop")) == 4
    assert _build(tmp_path / "own.jsonl", tmp_path / "paper", *checked, "--edition", "paper") == 0
    flags = {row["question"]: row["flags"] for row in read_config(tmp_path / "paper", "qwen3-l3-shop")}
    for flag, text in questions.items():
        assert (flag in flags[text.strip()]) == (flag != "nothing")


def test_the_audit_finds_an_own_question_that_a_test_split_has(tmp_path: Path, stand_in_benchmarks: Path) -> None:
    source = own_rows(tmp_path / "own.jsonl", range(9))
    assert _build(source, tmp_path / "release", "--benchmarks", str(stand_in_benchmarks)) == 0
    assert audit(tmp_path / "release").broken == []

    def leak(rows: list[dict[str, object]]) -> None:
        question = _question(stand_in_benchmarks)
        rows[0] |= {"question": question, "id": question_id("shop", question, [])}
        rows[0]["prompt"] = [{"role": "user", "content": question}]

    alter_rows(tmp_path / "release", "qwen3-l3-shop", leak)
    (broken,) = (text for text in audit(tmp_path / "release").broken if "length" not in text)
    assert broken.startswith("qwen3-l3-shop: 1 rows overlap with a test question of another benchmark")


@pytest.mark.parametrize("edition", ["clean", "paper", "aligned"])
def test_each_edition_of_own_rows_keeps_its_promises(tmp_path: Path, edition: str) -> None:
    source = own_rows(tmp_path / "own.jsonl", range(30))
    assert _build(source, tmp_path / "release", "--edition", edition, "--test-rows", "5") == 0
    assert audit(tmp_path / "release").broken == []
    kept = {row["id"] for row in read_config(tmp_path / "release", "qwen3-l3-shop")}
    held_out = {row["id"] for row in read_config(tmp_path / "release", "eval-shop")}
    assert (len(kept), len(kept & held_out)) == ((30, 5) if edition == "paper" else (25, 0))


def test_the_card_shows_the_source_and_the_license_of_own_rows(shop: Path) -> None:
    card = DatasetCard.load(shop / "README.md")
    assert card.data.to_dict()["license"] == ["apache-2.0", "cc-by-4.0"]
    assert "| `qwen3-l3-shop` | `solutions.jsonl` | `cc-by-4.0` |" in card.text
    note = "Its questions were compared with those of eval-arith, eval-shop."
    assert f"| shop | `solutions.jsonl` | `cc-by-4.0` | {note} |" in card.text
    assert "paper's release (github.com" not in card.text
    assert str(shop.parent) not in (shop / "README.md").read_text() + (shop / "release.json").read_text()


def test_without_a_license_the_card_shows_it_as_unknown(tmp_path: Path) -> None:
    assert _build(own_rows(tmp_path / "own.jsonl", range(9)), tmp_path / "release") == 0
    card = DatasetCard.load(tmp_path / "release/README.md")
    assert card.data.to_dict()["license"] == ["apache-2.0", "unknown"]
    assert "| `answer-shop` | `own.jsonl` | `unknown` |" in card.text


def test_own_configs_are_loaded_and_exported_like_any_other(shop: Path, tmp_path: Path) -> None:
    assert load_dataset(str(shop), "qwen3-medium-shop", split="train").num_rows == 40
    assert load_rows("qwen3-medium-shop", str(shop)).num_rows == 40
    assert main(["export", str(shop), "--to", "llamafactory", "--out", str(tmp_path / "lf")]) == 0
    assert "qwen3-medium-shop" in json.loads((tmp_path / "lf/dataset_info.json").read_text())
    assert main(["export", str(shop), "--to", "llamafactory", "--out", str(tmp_path / "lf")]) == 0  # replaces its own


def test_a_published_own_benchmark_is_known_from_its_index(
    shop: Path, client: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = f"{client.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["audit", str(shop)]) == 0
    assert main(["publish", str(shop), "--repo-id", "user/shop"]) == 0
    assert own_benchmark("shop", "user/shop") == require_release(shop).own_benchmarks["shop"]


def test_a_benchmark_that_neither_the_package_nor_the_release_has_is_named_with_the_nearest(shop: Path) -> None:
    assert own_benchmark("gsm8k", str(shop)) is None
    assert own_benchmark("shop", str(shop)) == {
        "answer_kind": "number", "license": "cc-by-4.0", "home": "solutions.jsonl",
    }  # fmt: skip
    for name, near in (("shops", "`shop`"), ("gsm", "`gsm8k`")):
        with pytest.raises(CotDistillError, match=f"{name!r}: use {near}"):
            own_benchmark(name, str(shop))
    with pytest.raises(CotDistillError, match="'svampp': use `svamp`"):
        own_benchmark("svampp", "eit/nowhere")


@pytest.mark.slow
def test_a_config_of_a_hub_dataset_is_a_source(hub: HubServer, tmp_path: Path) -> None:
    rows = json.dumps({"question": "How many pens are 2 pens and 2 pens?", "answer": "2 + 2 = 4.\n#### 4"})
    card = "---\nconfigs:\n- config_name: pens\n  data_files: pens.jsonl\n---\n"
    hub.add_repo("user/pens", {"pens.jsonl": rows.encode(), "README.md": card.encode()})
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "build", "--rows", "user/pens/pens/train", *SHOP]
    environment = hub.environment(tmp_path / "home", PYTHONPATH=str(ROOT))
    ended = subprocess.run([*command, "--out", "out"], env=environment, cwd=tmp_path, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    (row,) = read_config(tmp_path / "out", "qwen3-l3-shop")
    assert (row["answer"], row["source"]) == ("4", "user/pens/pens/train#0")
    assert "| `qwen3-l3-shop` | `user/pens/pens/train` | `unknown` |" in (tmp_path / "out/README.md").read_text()


NO_BENCHMARKS: list[dict[str, object]] = [
    {},
    {"shop": {"license": "mit"}},
    {"shop": {"answer_kind": "any", "license": "mit", "home": "x"}},
    {"shop": {"answer_kind": "number", "license": "mit", "home": "x", "run": "x"}},
]


@pytest.mark.parametrize("own", NO_BENCHMARKS)
def test_an_index_that_does_not_describe_its_own_benchmark_cannot_be_read(shop: Path, own: dict[str, object]) -> None:
    index = json.loads((shop / "release.json").read_text())
    (shop / "release.json").write_text(json.dumps(index | {"own_benchmarks": own}))
    with pytest.raises(CotDistillError, match="Cannot read"):
        require_release(shop)

"""Stores of new teachers in a release: their configs, and what the card says of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard
from stores import PARAMETERS, arith_answers, make_answer, write_store
from support import folder_files

from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.cli import main
from cot_distill_datasets.release.audit import audit
from cot_distill_datasets.release.editions import DEFAULT_EDITION
from cot_distill_datasets.release.selection import select
from cot_distill_datasets.schema import FEATURES
from cot_distill_datasets.sources import arith, generated, upstream
from cot_distill_datasets.sources.generated import PROMPTS, Answer, write_prompt
from cot_distill_datasets.sources.manifest import data_folder, data_path, read_manifest
from cot_distill_datasets.sources.records import load_records


OTHER_GOLD = {"no_gold", "cut_gold", "doubtful_gold"}  # the gold of such a row is not that of its benchmark
NAMES = ("tiny-l1-arith", "tiny-l3-arith", "tiny-l5-arith", "tiny-l3-l2m-arith")
WRONG = "It is a guess.\nThe answer is -1"


def _store_answers() -> list[Answer]:
    """Return 24 answers at three levels and in one format, and some that must not be kept."""
    answers = [answer for level in (1, 3, 5) for answer in arith_answers(f"tiny-l{level}-arith", 6)]
    answers += arith_answers("tiny-l3-l2m-arith", 6, gold_in_prompt=True)
    leak = arith.splits()[1][0]
    text = f"{arith.rationale(leak, 3)}\nThe answer is {leak.answer}"
    question, gold = answers[6].question, answers[6].gold
    more = [
        make_answer("tiny-l3-arith", leak.question, leak.answer, text),
        make_answer("tiny-l3-arith", question, gold, WRONG, sample=1),
        make_answer("tiny-l3-arith", question, gold, text, sample=2, finish_reason="length"),
    ]
    return answers + more


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    store = write_store(folder / "tiny", _store_answers())
    write_prompt(store, "0123456789abcdef", [{"role": "user", "content": "Of an answer that is not kept."}])
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, annotations: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 30)
        folder = tmp_path_factory.mktemp("releases") / "release"
        assert main(["build", "--annotations", str(annotations), "--out", str(folder)]) == 0
    return folder


def test_kept_answers_are_configs_beside_those_of_the_release(release: Path) -> None:
    configs = json.loads((release / "release.json").read_text())["configs"]
    index = {stats["name"]: stats for stats in configs if stats["name"].startswith("tiny")}
    counts = {name: (stats["rows_in"], stats["rows"], stats["dropped"]) for name, stats in index.items()}
    assert counts == {
        "tiny-l1-arith": (6, 6, {}),
        "tiny-l3-arith": (9, 6, {"contradicting": 1, "truncated": 1, "leaked": 1}),
        "tiny-l5-arith": (6, 6, {}),
        "tiny-l3-l2m-arith": (6, 6, {}),
    }
    assert index["tiny-l3-arith"]["agreement"] == 0.875  # 7 of the 8 that conclude


def test_the_audit_passes(release: Path) -> None:
    assert audit(release).broken == []


@pytest.mark.parametrize(("edition", "rows"), [("paper", [5, 7, 6, 6]), ("aligned", [5, 5, 5, 5])])
def test_every_edition_has_the_configs_of_a_new_teacher(
    edition: str, rows: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arith, "TRAIN_SIZE", 30)
    answers = _store_answers()
    answers[0] = replace(answers[0], finish_reason="length")  # of the first question at l1
    write_store(tmp_path / "annotations/tiny", answers)
    folders = ["--annotations", str(tmp_path / "annotations"), "--out", str(tmp_path / "release")]
    assert main(["build", *folders, "--edition", edition]) == 0
    counts = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert [int(counts[name]) for name in NAMES] == rows
    assert audit(tmp_path / "release").broken == []


def test_a_config_loads_with_its_alias_and_the_columns_of_the_others(release: Path) -> None:
    rows = load_dataset(str(release), "tiny-fine-arith", split="train")
    assert rows.features == FEATURES == load_dataset(str(release), "oracle-l3-arith", split="train").features
    assert rows["gold_in_prompt"][:] == [False] * 6 and rows["sample"][:] == [0] * 6
    assert set(rows["model"]) == {"org/tiny-1"} and json.loads(rows["parameters"][0]) == PARAMETERS
    assert rows["id"][:] == sorted(rows["id"])
    (shown,) = set(load_dataset(str(release), "tiny-l3-l2m-arith", split="train")["gold_in_prompt"])
    assert shown is True


def test_two_builds_of_one_store_are_equal_in_any_order_of_its_lines(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arith, "TRAIN_SIZE", 30)
    write_store(tmp_path / "annotations/tiny", _store_answers()[::-1])
    assert main(["build", "--annotations", str(tmp_path / "annotations"), "--out", str(tmp_path / "release")]) == 0
    first, second = folder_files(release), folder_files(tmp_path / "release")
    audits = {"audit.json", "audit.md"}
    assert {name: first[name] for name in first.keys() - audits} == second


def test_the_card_has_the_rows_the_terms_and_the_prompts_word_for_word(release: Path, annotations: Path) -> None:
    text = DatasetCard.load(release / "README.md").text
    assert '| `tiny-l3-l2m-arith` | 6 | `org/tiny-1` | `{"max_tokens": 256, "temperature": 0.7}` | yes | `' in text
    assert "| `org/tiny-1` (`tiny`) | not known to this package | look up the provider's terms" in text
    used = {row["prompt_hash"] for name in NAMES for row in load_dataset(str(release), name, split="train")}
    assert text.count("<summary>Prompt ") == len(used) == 4
    for path in (annotations / "tiny" / PROMPTS / f"{hash_}.json" for hash_ in used):
        assert f"<summary>Prompt {path.stem}</summary>" in text
        for turn in json.loads(path.read_text()):
            assert f"\n```text\n{turn['content']}\n```\n" in text


def test_the_card_does_not_say_of_a_new_teacher_what_it_says_of_the_papers(
    stand_in_benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arith, "TRAIN_SIZE", 30)
    text = "2 + 3 = 5.\nThe answer is 5"
    answer = make_answer("tiny-l1-svamp", "Ann has 2 pens and 3 cups. How many things are these?", "5", text)
    write_store(tmp_path / "annotations/tiny", [answer])
    folders = ["--benchmarks", str(stand_in_benchmarks), "--annotations", str(tmp_path / "annotations")]
    assert main(["build", *folders, "--out", str(tmp_path / "release")]) == 0
    text = (tmp_path / "release/README.md").read_text()
    assert "| `tiny-l1-svamp` | 1 | 1 | 0 | 0 | 100.0% |" in text
    assert "of the paper's release" not in text and "EIT-NLP/Distilling" not in text


def test_nothing_in_a_store_is_rendered_as_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arith, "TRAIN_SIZE", 30)
    model, hash_ = "a`|b\x1b[31m<script>", "</summary><script>"
    answers = arith_answers("tiny-l1-arith", 2, model=model, prompt_hash="ab")
    answers += arith_answers("tiny-l2-arith", 2, prompt_hash=hash_)
    store = write_store(tmp_path / "annotations/tiny", answers)
    turn = {"role": "user", "content": "```\n<script>\x1b[31m"}
    (store / PROMPTS / "ab.json").write_text(json.dumps([turn]))
    assert main(["build", "--annotations", str(tmp_path / "annotations"), "--out", str(tmp_path / "release")]) == 0
    text = (tmp_path / "release/README.md").read_text()
    assert "| `a'\\|b\\x1b[31m<script>` |" in text and "`</summary><script>`" in text
    assert "````text\n```\n<script>\\x1b[31m\n````" in text
    assert "\x1b" not in text


def test_a_store_that_cannot_be_read_is_named_and_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arith, "TRAIN_SIZE", 30)
    write_store(tmp_path / "annotations/tiny", arith_answers("tiny-l1-arith", 2))
    (write_store(tmp_path / "annotations/torn", []) / "answers.jsonl").write_text("{}\n")
    arguments = ["build", "--annotations", str(tmp_path / "annotations"), "--out", str(tmp_path / "release")]
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert "tiny-l1-arith\t2" in output.out and "skipped: torn: " in output.err
    assert main([*arguments, "--strict"]) == 2
    assert main(["build", "--annotations", str(tmp_path), "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def test_a_teachers_text_becomes_the_row_that_it_is_in_the_papers_release(stand_in: Path, tmp_path: Path) -> None:
    """The texts of the stand-in as the answers of new teachers: what the default edition keeps is equal."""
    data = data_folder(stand_in)
    release = upstream.source(data, BENCHMARKS)
    entries = {entry.config: entry for entry in read_manifest(data)[0]}
    kept, answers = {}, []
    for config in filter(lambda config: config.granularity, release.readers):
        texts = load_records(data_path(entries[config], data), config.benchmark)
        new = replace(config, teacher=f"new_{config.teacher}")
        rows = [row for row in release.readers[config](release.golds).rows if OTHER_GOLD.isdisjoint(row["flags"])]
        kept[new] = {row["id"]: row["completion"] for row in select(rows, DEFAULT_EDITION)[0]}
        for row in rows:
            text = texts[int(row["source"].rpartition("#")[2])][entries[config].response_column]
            answers.append(make_answer(str(new), row["question"], row["answer"], text, choices=row["choices"]))
    for teacher in {config.teacher for config in kept}:
        write_store(tmp_path / teacher, [answer for answer in answers if answer.config.startswith(f"{teacher}-")])
    found = generated.source(tmp_path, BENCHMARKS)
    rows_of = {config: read({}).rows for config, read in found.readers.items()}
    assert {config: {row["id"]: row["completion"] for row in rows} for config, rows in rows_of.items()} == kept
    assert sum(map(len, kept.values())) == 27

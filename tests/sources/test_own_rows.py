"""`cot-distill build --rows`: the user's own files become configs; what cannot be used is named by row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest
from datasets import Dataset
from support import own_rows, read_config

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.release.folder import Release, require_release
from cot_distill_datasets.sources.own_rows import OwnRows


pytestmark = pytest.mark.usefixtures("few_problems")
OUT = Path("release")
SHOP = ["--benchmark", "shop", "--answer-kind", "number"]
# Responses as public files have them, and their rationale (None: the thought and the text behind it).
RESPONSES = {
    "GSM8K": ("12 + 7 = 19.\n#### 19", "12 + 7 = 19."),
    "a closing sentence": ("12 + 7 = 19. The answer is 19.", "12 + 7 = 19."),
    "a box": ("12 + 7 = 19. So it is $\\boxed{19}$.", "12 + 7 = 19. So it is $\\boxed{19}$."),
    "a thought": ("<think>Could it be 20? No.</think>\n\nIt is \\boxed{19}.", None),
    "a tag": ("<think>12 + 7 = 19</think>\n<answer>19</answer>", "12 + 7 = 19"),
    "both": ("12 + 7 = 19.\n#### 19\nThe answer is: 19", "12 + 7 = 19."),
}


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _write(name: str, *rows: Any) -> str:
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return name


def _build(source: str, *more: str, teacher: str = "qwen3", level: str = "l3") -> int:
    options = ["--teacher", teacher, "--granularity", level, "--out", str(OUT)]
    return main(["build", "--rows", source, *options, *(more or SHOP)])


def _index() -> Release:
    return require_release(OUT)


def _dropped(config: str) -> dict[str, int]:
    return next(stats.dropped for stats in _index().configs if stats.name == config)


@pytest.mark.parametrize(("response", "rationale"), RESPONSES.values(), ids=RESPONSES)
def test_the_conclusion_of_each_public_layout_is_read(response: str, rationale: str | None) -> None:
    assert _build(_write("a.jsonl", {"prompt": "12 and 7?", "completion": response, "answer": "19"})) == 0
    (row,) = read_config(OUT, "qwen3-l3-shop")
    assert (row["teacher_answer"], row["answer"], row["is_correct"]) == ("19", "19", True)
    assert row["completion"][0]["content"] == f"{row['rationale']}\nThe answer is 19"
    assert rationale in (None, row["rationale"])
    assert (row["teacher"], row["granularity"], row["source"]) == ("qwen3", 3, "a.jsonl#0")


def _write_arrow(rows: Dataset, path: str) -> None:
    with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, rows.data.table.schema) as writer:
        writer.write_table(rows.data.table)


WRITERS: dict[str, Callable[[Dataset], object]] = {
    "rows.jsonl": lambda rows: rows.to_json("rows.jsonl"),
    "rows.json": lambda rows: Path("rows.json").write_text(json.dumps(list(rows), indent=1)),
    "rows.csv": lambda rows: pyarrow.csv.write_csv(rows.data.table, "rows.csv"),
    "rows.tsv": lambda rows: rows.to_csv("rows.tsv", sep="\t", index=False),
    "rows.parquet": lambda rows: rows.to_parquet("rows.parquet"),
    "rows.arrow": lambda rows: _write_arrow(rows, "rows.arrow"),
    "[1] of *.parquet": lambda rows: rows.to_parquet("[1] of *.parquet"),
    "folder": lambda rows: rows.to_parquet("folder/train.parquet"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_kind_of_file_gives_the_same_rows(name: str) -> None:
    Path("folder").mkdir()
    rows = [{"question": f"{n} and 7?", "answer": f"{n} + 7 = {n + 7}.\n#### {n + 7}"} for n in range(20)]
    WRITERS[name](Dataset.from_list(rows))
    assert _build(name) == 0
    built = read_config(OUT, "qwen3-l3-shop")
    assert [(row["question"], row["rationale"], row["answer"], row["source"]) for row in built] == [
        (f"{n} and 7?", f"{n} + 7 = {n + 7}.", str(n + 7), f"{name}#{n}") for n in range(20)
    ]


def test_rejected_rows_are_counted_by_reason_and_the_first_of_each_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is 4. The answer is 4"}]
    system, broken = {"messages": [{"role": "system", "content": "Add."}, *turns]}, {"messages": "2 + 2?"}
    tools = {"messages": [turns[0], turns[1] | {"tool_calls": [{"id": "1"}]}]}
    control = {"messages": [turns[0], turns[1] | {"content": "\x1b[2J4. The answer is 4"}]}
    rows = [{"messages": turns}, system, {"messages": turns * 2}, tools, broken, control, system]
    source = _write("chats.jsonl", *rows)
    Path(source).write_text(Path(source).read_text() + '{"messages": [\n{"messages": 1, "messages": 2}\n')
    assert _build(source) == 1
    assert _dropped("qwen3-l3-shop") == {
        "system_turn": 2, "several_turns": 1, "tool_call": 1, "unreadable": 4,
    }  # fmt: skip
    assert len(read_config(OUT, "qwen3-l3-shop")) == 1
    error = capsys.readouterr().err
    first = {("system_turn", 2): 1, ("several_turns", 1): 2, ("tool_call", 1): 3, ("unreadable", 4): 4}
    for (reason, count), row in first.items():
        assert f"qwen3-l3-shop ({reason}: {count}): chats.jsonl: row {row} " in error
    assert "\x1b" not in error
    assert _build(source, *SHOP, "--strict") == 2


def test_a_control_character_that_latex_lost_to_json_is_repaired_and_any_other_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _write(
        "math.jsonl", {"question": "1 of 2?", "answer": "It is \\boxed{\x0crac{1}{2}}."},
        {"question": "1 of 3?", "answer": "It is \x00 \\boxed{\\frac{1}{3}}."},
    )  # fmt: skip
    assert _build(source, "--benchmark", "parts", "--answer-kind", "math") == 1
    (row,) = read_config(OUT, "qwen3-l3-parts")
    assert (row["teacher_answer"], "latex_escape" in row["flags"]) == ("\\frac{1}{2}", True)
    assert "math.jsonl: row 1 has the control character '\\x00'" in capsys.readouterr().err


def test_contradicting_and_doubtful_rows_are_dropped_as_in_every_release() -> None:
    rows = [("q1?", "So 4. The answer is 4", "4"), ("q2?", "So 5. The answer is 5", "4"), ("q3?", "So 6.", "many")]
    names = ("prompt", "completion", "answer")
    assert _build(_write("a.jsonl", *(dict(zip(names, row)) for row in rows))) == 0
    assert _dropped("qwen3-l3-shop") == {"contradicting": 1, "doubtful_gold": 1}


def test_rows_of_a_known_benchmark_get_its_golds_by_id(stand_in: Path, stand_in_benchmarks: Path) -> None:
    question, gold = json.loads((stand_in / "data/SVAMP_only_ans.json").read_bytes())[0].values()
    rows = [{"prompt": f" {question.upper()}", "completion": "It is so. The answer is 1e9"}]
    more = ["--upstream", str(stand_in), "--benchmarks", str(stand_in_benchmarks), "--edition", "paper"]
    assert _build(_write("a.jsonl", *rows), "--benchmark", "svamp", *more) == 0
    (row,) = read_config(OUT, "qwen3-l3-svamp")
    assert (float(row["answer"]), row["is_correct"]) == (float(gold), False)
    assert _index().own_benchmarks == {}


def test_a_known_benchmark_without_a_test_split_is_skipped() -> None:
    source = _write("a.jsonl", {"prompt": "q?", "completion": "So 4. The answer is 4", "answer": "4"})
    assert _build(source, "--benchmark", "gsm8k") == 1
    assert "no test split of gsm8k" in _index().left_out["qwen3-l3-gsm8k"]
    assert _build(source, "--benchmark", "gsm8k", "--unchecked") == 0
    assert _index().unchecked == ["gsm8k"]


def test_several_sources_of_one_command_are_levels_with_one_config_of_answers() -> None:
    sources = [own_rows(f"{level}.jsonl", range(30), words) for level, words in (("short", 1), ("long", 5))]
    command = ["build", "--rows", *sources, "--teacher", "qwen3", "--granularity", "l1", "l5", "--out", str(OUT)]
    assert main([*command, *SHOP, "--license", "cc-by-4.0"]) == 0
    index = _index()
    own = {stats.name: stats.rows for stats in index.configs if stats.name.endswith("-shop")}
    assert own == {"qwen3-l1-shop": 30, "qwen3-l5-shop": 30, "answer-shop": 30}
    assert index.own_benchmarks == {
        "shop": {"answer_kind": "number", "license": "cc-by-4.0", "home": "short.jsonl, long.jsonl"}
    }
    assert index.origins["qwen3-l5-shop"] == {"home": "long.jsonl", "license": "cc-by-4.0"}
    assert main([*command[:-4], "l1", "l1", "--out", str(OUT), *SHOP]) == 2  # one config twice


def test_the_test_split_is_held_out_by_id_of_all_sources_and_hardly_changes_with_more_rows() -> None:
    first, second = own_rows("first.jsonl", range(60)), own_rows("second.jsonl", range(30, 100))

    def held_out(*sources: str, **options: str) -> set[str]:
        levels = [f"l{number + 1}" for number in range(len(sources))]
        command = ["build", "--rows", *sources, "--teacher", "qwen3", "--granularity", *levels, "--out", str(OUT)]
        assert main([*command, *SHOP, "--test-rows", "20"]) == 0
        test = read_config(OUT, "eval-shop")
        ids = {row["id"] for row in test}
        for name in ("answer-shop", "qwen3-l1-shop"):
            assert ids.isdisjoint(row["id"] for row in read_config(OUT, name))
        assert len(ids) == len(test) == 20 and all(row["answer"] for row in test)
        return ids

    few, again, all_ids = held_out(first), held_out(first), held_out(first, second)
    assert few == again
    assert all_ids & {row["id"] for row in read_config(OUT, "answer-shop")} == set()
    assert few - all_ids and few & all_ids == {id_ for id_ in few if id_ <= max(all_ids)}


def test_a_column_that_is_absent_is_named_with_the_nearest_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _write("a.jsonl", {"problem": "2 + 2?", "generation": "It is 4."})
    assert _build(source, *SHOP, "--map", "question=problem,response=generations") == 2
    assert "a.jsonl: There is no column 'generations' for the response: use `generation`." in capsys.readouterr().err
    assert not OUT.exists()


BAD_COMMANDS = {
    "a typo of a known benchmark": (["--benchmark", "gsm8"], "use `gsm8k`, or pass `--answer-kind`"),
    "a known benchmark with an answer kind": (["--benchmark", "gsm8k", "--answer-kind", "math"], "known benchmark"),
    "the name of another split": (["--benchmark", "math500", "--answer-kind", "math"], "'math500'"),
    "the name of a group": (["--benchmark", "commonsense", "--answer-kind", "choice"], "'commonsense'"),
    "no slug": (["--benchmark", "My Shop", "--answer-kind", "number"], "'My Shop'"),
    "no level": (["--benchmark", "shop", "--answer-kind", "number", "--granularity", "7"], "Unknown granularity '7'"),
    "two levels of one source": ([*SHOP, "--granularity", "l1", "l2"], "2 values for 1 sources"),
    "too many test rows": ([*SHOP, "--test-rows", "9"], "there are 1"),
    "a mapping of a part that no row has": ([*SHOP, "--map", "prompt=a"], "a part is `question`"),
    "a mapping without the response": ([*SHOP, "--map", "question=prompt"], "response=COLUMN"),
}


@pytest.mark.parametrize(("options", "named"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_a_wrong_option_is_one_sentence_and_nothing_is_written(
    options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _write("a.jsonl", {"prompt": "q?", "completion": "So 4. The answer is 4", "answer": "4"})
    try:
        assert _build(source, *options) == 2
    except SystemExit as error:  # argparse
        assert error.code == 2
    assert named in capsys.readouterr().err
    assert not OUT.exists()


BAD_SOURCES: dict[str, tuple[bytes, str]] = {
    "rows.txt": (b"text", "`.jsonl`"),
    "rows.parquet": (b"not Parquet", "cannot be read"),
    "rows.csv": (b"\xff\xfe\x00", "cannot be read"),
    "list.json": (b'[{"prompt": "q?", ', "row 0 is not JSON"),
    "empty.jsonl": (b"", "no known layout"),
    "lines.jsonl": (b"not JSON\nat all\n", "no known layout"),
}


def test_a_folder_with_code_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("scripts").mkdir()
    Path("scripts/scripts.py").write_text("from pathlib import Path\nPath('run').touch()\n")
    assert _build("scripts") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("cot-distill: scripts: cannot be read")
    assert not Path("run").exists()


@pytest.mark.parametrize("name", [*BAD_SOURCES, "absent.jsonl", "absent", "user/absent"])
def test_a_source_that_cannot_be_read_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content, named = BAD_SOURCES.get(name, (b"", name))
    if name in BAD_SOURCES:
        Path(name).write_bytes(content)
    assert _build(name) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("cot-distill: ") and named in error and name in error
    assert not OUT.exists()


def test_a_list_that_breaks_off_leaves_its_config_out_and_the_rest_is_built() -> None:
    good = json.dumps([{"prompt": f"{n}?", "completion": "So 4. The answer is 4"} for n in range(200)])
    Path("cut.json").write_text(good[:-100])
    assert _build("cut.json") == 1
    index = _index()
    assert index.left_out.keys() == {"qwen3-l3-shop"} and "cut.json: row 19" in index.left_out["qwen3-l3-shop"]
    assert not (OUT / "data/qwen3-l3-shop").exists()


def test_two_sources_with_one_config_are_rejected(stand_in: Path, stand_in_benchmarks: Path) -> None:
    source = _write("a.jsonl", {"prompt": "q?", "completion": "So 4. The answer is 4"})
    more = ["--benchmark", "svamp", "--upstream", str(stand_in), "--benchmarks", str(stand_in_benchmarks)]
    assert _build(source, *more, teacher="gpt4o", level="l1") == 2
    assert _build(source, *more, teacher="gpt4o_mini", level="l1") == 0


def test_options_of_own_rows_need_a_source_and_a_teacher() -> None:
    assert main(["build", "--teacher", "qwen3", "--out", str(OUT)]) == 2
    assert main(["build", "--rows", own_rows("a.jsonl", range(3)), *SHOP, "--out", str(OUT)]) == 2


@pytest.mark.parametrize("place", ["../My Data-2.jsonl", "user/my-data-2", "user/My-Data-2/main/train", "my_data_2/"])
def test_the_default_benchmark_has_the_name_of_the_source(place: str) -> None:
    plan = OwnRows.plan([place], ["human"], answer_kind="number")
    assert [str(config) for config in plan.sources] == ["human-my_data_2"]


def test_a_known_benchmark_has_no_answer_kind_of_its_own() -> None:
    with pytest.raises(CotDistillError, match="omit `--answer-kind`"):
        OwnRows.plan(["gsm8k.jsonl"], ["human"], answer_kind="number")

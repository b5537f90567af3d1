"""The scores of configs: equal to those worked out by hand, on the same questions, resumed after a kill."""

import json
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from known_model import write_rows
from support import own_rows

from cot_distill_datasets.cli import main
from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.recommend import forward
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.recommend.forward import score_configs
from cot_distill_datasets.recommend.texts import row_texts
from cot_distill_datasets.training.data import load_rows


L3 = ConfigName.parse("oracle-l3-arith")
FINE = ConfigName.parse("oracle-l5-arith")
ANSWER = ConfigName.parse("answer-arith")
ROWS = [("a", "2 + 2?", "2 + 2 = 4.", "4"), ("b", "3 + 3?", "3 + 3 = 6.", "6")]


def _scores(table: pa.Table) -> dict[tuple[str, str], float]:
    """Return each score of each config: the ratio of the sums of its terms."""
    sums: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(2))
    for line in table.to_pylist():
        sums[line["config"], line["score"]] += line["numerator"], line["denominator"]
    return {key: float(numerator / denominator) for key, (numerator, denominator) in sums.items()}


def test_every_score_of_two_texts_equals_the_one_worked_out_by_hand(known: Base, tmp_path: Path) -> None:
    table = score_configs(known, [L3], write_rows(tmp_path / "data", *ROWS), folder=tmp_path)
    # The probabilities of "2 + 2 = 4." are 1/2 1/2 1/8 1/4 1/16, and the ranks 1 1 2 2 3.
    # The probabilities of "3 + 3 = 6." are 1/4 1/2 1/2 1/4 1/2, and the ranks 2 1 1 2 1.
    bits, ranks = (11, 7), (9, 7)
    # "The answer is" is followed by 4 or 6 with 1/4 each. Behind the CoT, 4 has 9/4 : 3/4, and 6 has 3/4 : 3/4.
    rd = (1 / 4) / (3 / 4), (1 / 4) / (1 / 2)
    # "2 + 2 = ." and "3 + 3 = .": 4 has 1/12, and the others 3/4.
    rd_masked = (1 / 4) / (1 / 10), (1 / 4) / (3 / 10)
    expected = {
        "rsr": (sum(ranks) / 5) / (sum(bits) / 5 * math.log(2)),
        "surprisal": sum(bits) * math.log(2) / 10,
        "rd": sum(rd) / 2,
        "rd_masked": sum(rd_masked) / 2,
        "words": 5,
        "steps": 1,
    }
    assert _scores(table) == pytest.approx({(str(L3), name): value for name, value in expected.items()}, rel=1e-5)
    rows = {(line["id"], line["score"]): (line["numerator"], line["denominator"]) for line in table.to_pylist()}
    assert rows["a", "rsr"] == pytest.approx((9 / 5, 11 / 5 * math.log(2)), rel=1e-5)
    assert rows["b", "rd"] == pytest.approx((rd[1], 1), rel=1e-5)


def test_configs_are_scored_on_the_same_first_questions_with_the_teachers_agreement(
    demo: Base, project: Path, tmp_path: Path
) -> None:
    release = project / "eit/cot-distill"
    table = score_configs(demo, [L3, FINE, ANSWER], str(release), rows=12, folder=tmp_path)
    ids = sorted(load_rows(L3, str(release))["id"])[:12]
    for config, score in _scores(table):
        lines = table.filter((pa.compute.field("config") == config) & (pa.compute.field("score") == score))
        assert sorted(lines["id"].to_pylist()) == ids
    scores = _scores(table)
    stats = json.loads((release / "release.json").read_text())["configs"]
    agreement = {config["name"]: config["agreement"] for config in stats}
    for config in (L3, FINE):
        assert scores[str(config), "agreement"] == agreement[str(config)] == 1.0
    assert scores[str(FINE), "words"] > scores[str(L3), "words"] > scores[str(ANSWER), "words"] == 0
    # Without CoT there is nothing to rank, the answer is as probable as it is, and no teacher agrees.
    assert {score for config, score in scores if config == str(ANSWER)} == {"rd", "rd_masked", "words", "steps"}
    assert scores[str(ANSWER), "rd"] == scores[str(ANSWER), "rd_masked"] == 1.0


def test_rsr_equals_the_authors_definition(demo: Base, project: Path, tmp_path: Path) -> None:
    release = str(project / "eit/cot-distill")
    scores = _scores(score_configs(demo, [L3], release, rows=8, folder=tmp_path))
    mean_ranks, mean_surprisals = [], []
    for row in sorted(load_rows(L3, release).to_list(), key=lambda row: row["id"])[:8]:
        prompt = demo.tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        tokens = demo.tokenizer(prompt + row["completion"][0]["content"], return_tensors="pt")["input_ids"][0]
        first = len(demo.tokenizer(prompt)["input_ids"])
        last = len(demo.tokenizer(f"{prompt}{row['rationale']}\n")["input_ids"])
        with torch.no_grad():
            logits = demo.model(tokens[None]).logits[0, first - 1 : last - 1]
        own = logits[torch.arange(last - first), tokens[first:last]]
        top = logits.topk(100).values
        ranks = (1 + (top > own[:, None]).sum(1)).clamp(max=100)
        mean_ranks.append(ranks.double().mean())
        mean_surprisals.append((logits.logsumexp(1) - own).double().mean())
    assert scores[str(L3), "rsr"] == pytest.approx(float(sum(mean_ranks) / sum(mean_surprisals)), rel=1e-5)


def test_a_killed_run_resumes_and_more_rows_reuse_the_first(
    small: Base, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_PART", 8)
    release, configs = str(project / "eit/cot-distill"), [L3, FINE]
    whole = score_configs(small, configs, release, rows=16, folder=tmp_path / "whole", gradients=True)
    calls = 0

    def count(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    measure = forward.measure
    monkeypatch.setattr(forward, "measure", count)
    with pytest.raises(KeyboardInterrupt):
        score_configs(small, configs, release, rows=16, folder=tmp_path, gradients=True)
    written = [path for path in tmp_path.glob("*/*.parquet") if "gradients" not in path.name]
    written[0].write_bytes(b"PAR1 truncated")  # it is computed again
    assert score_configs(small, configs, release, rows=16, folder=tmp_path, gradients=True).equals(whole)
    assert calls == 6  # 4 parts, the one that was killed, and the damaged one
    score_configs(small, configs, release, rows=24, folder=tmp_path)
    assert calls == 8
    score_configs(replace(small, key="other"), [L3], release, rows=8, folder=tmp_path)
    assert calls == 9


def test_questions_with_a_row_that_is_too_long_are_left_out_of_all_configs(
    demo: Base, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = str(project / "eit/cot-distill")
    lengths = sorted(len(row_texts(row, "number", demo.tokenizer).full.tokens) for row in load_rows(FINE, release))
    short = replace(demo, limit=lengths[19])
    table = score_configs(short, [L3, FINE], release, folder=tmp_path)
    ids = [set(table.filter(pa.compute.field("config") == str(config))["id"].to_pylist()) for config in (L3, FINE)]
    assert ids[0] == ids[1] and 0 < len(ids[0]) < 40
    assert f"{40 - len(ids[0])} of the 40 questions" in capsys.readouterr().err
    with pytest.raises(CotDistillError, match=r"40 of the 40 questions .* 9 tokens"):
        score_configs(replace(demo, limit=9), [L3, FINE], release, folder=tmp_path)


def test_configs_without_a_common_question_are_rejected(known: Base, tmp_path: Path, monkeypatch: Any) -> None:
    data = {
        str(config): load_rows(L3, write_rows(tmp_path / str(config), row)) for config, row in zip([L3, FINE], ROWS)
    }
    monkeypatch.setattr(forward, "load_rows", lambda config, dataset: data[config])
    with pytest.raises(CotDistillError, match=f"{L3}, {FINE} share no question"):
        score_configs(known, [L3, FINE], "data", folder=tmp_path)


def test_nan_logits_are_rejected_and_not_written(known: Base, tmp_path: Path) -> None:
    known.model.lm_head.weight.data[5, 5] = math.nan
    with pytest.raises(CotDistillError, match=r"org/known are NaN") as error:
        score_configs(known, [L3], write_rows(tmp_path / "data", *ROWS), folder=tmp_path)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("known/*"))


def test_a_token_without_an_embedding_is_rejected(known: Base, tmp_path: Path) -> None:
    known.model.config.vocab_size = 5
    with pytest.raises(CotDistillError, match=r"5 embeddings"):
        score_configs(known, [L3], write_rows(tmp_path / "data", *ROWS), folder=tmp_path)


def test_rows_without_the_columns_of_a_release_are_rejected(known: Base, tmp_path: Path) -> None:
    folder = Path(write_rows(tmp_path / "data", *ROWS))
    rows = load_rows(L3, str(folder)).remove_columns(["rationale", "choices"])
    rows.to_parquet(folder / "train.parquet")
    with pytest.raises(CotDistillError, match=r"`choices`, `rationale`"):
        score_configs(known, [L3], str(folder), folder=tmp_path)


@pytest.mark.usefixtures("few_problems")
def test_a_question_set_of_the_user_s_own_is_scored(demo: Base, tmp_path: Path) -> None:
    source, release = own_rows(tmp_path / "solutions.jsonl", range(30)), tmp_path / "release"
    own = ["--teacher", "qwen3", "--granularity", "l3", "--benchmark", "shop", "--answer-kind", "number"]
    assert main(["build", "--rows", str(source), *own, "--out", str(release)]) == 0
    table = score_configs(demo, [ConfigName.parse("qwen3-l3-shop")], str(release), folder=tmp_path / "scores")
    assert len(table.filter(pa.compute.equal(table["score"], "rd_masked"))) == 30

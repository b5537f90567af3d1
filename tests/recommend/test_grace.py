"""GRACE: equal to the authors' definition on a small model, with the projection the same on every machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.recommend import grace as module
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.recommend.forward import score_configs
from cot_distill_datasets.recommend.grace import DIMENSIONS, grace, projected_gradients, require_small, signs
from cot_distill_datasets.recommend.texts import row_texts
from cot_distill_datasets.training.data import load_rows


CONFIG = ConfigName.parse("oracle-l3-arith")


def _by_hand(gradients: np.ndarray, questions: int) -> list[float]:
    """Return the scores of the splits by the authors' definition, with an inverse; one row of each question."""
    scores = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(questions)
        count = max(1, int(questions * 0.1))
        train, test = gradients[order[: questions - count]], gradients[order[questions - count :]]
        train = train / np.linalg.norm(train, axis=1)[:, None]
        kernel, kernel_test = train.T @ train / len(train), test.T @ test / len(test)
        mean = np.trace(kernel) / len(kernel)
        smooth = (1 - 1e-3) * kernel + 1e-3 * mean * np.eye(len(kernel))  # moves each eigenvalue to their mean
        scores.append(np.trace(np.linalg.inv(smooth) @ kernel_test))
    return scores


def test_grace_equals_the_authors_definition_on_a_small_model(small: Base, project: Path, tmp_path: Path) -> None:
    release = str(project / "eit/cot-distill")
    table = score_configs(small, [CONFIG], release, rows=20, folder=tmp_path, gradients=True)
    lines = table.filter(table["score"].cast("string").to_numpy(zero_copy_only=False) == "grace").to_pylist()
    rows = sorted(load_rows(CONFIG, release).to_list(), key=lambda row: row["id"])[:20]
    weights = list(small.model.parameters())
    size = sum(weight.numel() for weight in weights)
    matrix = torch.cat([signs(number, min(module._BLOCK, size - start)) for number, start in _blocks(size)])
    gradients = []
    for row in rows:
        prompt = small.tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        text = f"{prompt}{row['completion'][0]['content']}{small.tokenizer.eos_token}"
        tokens = small.tokenizer(text, return_tensors="pt")["input_ids"]
        labels = tokens.clone()
        labels[:, : len(small.tokenizer(prompt)["input_ids"])] = -100
        small.model.zero_grad()
        small.model(input_ids=tokens, labels=labels).loss.backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in weights]))
    small.model.zero_grad()
    projected = (torch.stack(gradients) @ matrix / size**0.5).double().numpy()
    expected = _by_hand(projected, len(rows))
    assert [line["id"] for line in lines] == [str(split) for split in range(10)]
    assert [line["numerator"] / line["denominator"] for line in lines] == pytest.approx(expected, rel=1e-3)


def _blocks(size: int) -> list[tuple[int, int]]:
    return list(enumerate(range(0, size, module._BLOCK)))


def test_the_rows_of_a_question_stay_together() -> None:
    gradients = np.random.default_rng(1).normal(size=(40, 5))
    questions = [f"q{number // 2:02}" for number in range(40)]
    split = np.random.default_rng(0).permutation(20)[-2:]
    is_test = np.isin(np.arange(40) // 2, split)
    train = gradients[~is_test] / np.linalg.norm(gradients[~is_test], axis=1)[:, None]
    kernel = train.T @ train / 36
    smooth = (1 - 1e-3) * kernel + 1e-3 / 5 * np.trace(kernel) * np.eye(5)
    expected = np.trace(np.linalg.inv(smooth) @ (gradients[is_test].T @ gradients[is_test] / 4))
    scores = grace(gradients, questions)
    assert len(scores) == 10 and scores[0] == pytest.approx(expected)
    # A test row counts with its size, a train row does not.
    larger = np.where(is_test[:, None], 2 * gradients, 3 * gradients)
    assert grace(larger, questions)[0] == pytest.approx(4 * expected)


def test_a_single_question_is_rejected() -> None:
    with pytest.raises(CotDistillError, match="2 questions"):
        grace(np.ones((3, 4)), ["a", "a", "a"])


def test_the_signs_are_fair_and_the_same_on_every_machine() -> None:
    drawn = signs(3, 400)
    assert drawn.shape == (400, DIMENSIONS) and set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(drawn.mean())) < 0.01
    assert drawn[0, :8].tolist() == [1, 1, 1, 1, 1, -1, -1, -1]
    assert not torch.equal(drawn, signs(4, 400))


def test_gradients_do_not_depend_on_how_many_are_in_memory(
    small: Base, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = load_rows(CONFIG, str(project / "eit/cot-distill")).to_list()[:3]
    texts = [row_texts(row, "number", small.tokenizer).full for row in rows]
    together = projected_gradients(small, texts)
    monkeypatch.setattr(module, "_MEMORY", 1)
    assert np.allclose(projected_gradients(small, texts), together, rtol=1e-4, atol=1e-6)
    assert projected_gradients(small, []).shape == (0, DIMENSIONS)


def test_a_large_student_is_rejected_before_anything_is_scored(demo: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    require_small(demo)
    monkeypatch.setattr(module, "PARAMETERS", demo.parameters - 1)
    with pytest.raises(CotDistillError, match="`--gradients`"):
        score_configs(replace(demo, path="org/large"), [CONFIG], "missing", gradients=True)

"""A base model with known probabilities, and the untrained demo student with a release."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from known_model import known_base
from support import write_project
from transformers import LlamaConfig, LlamaForCausalLM

from cot_distill_datasets.recommend.base import Base, load_base


@pytest.fixture
def known() -> Base:
    """A base model with known probabilities. Its tokens are words."""
    return known_base()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 40 problems and the untrained demo student."""
    return write_project(tmp_path_factory.mktemp("small"), rows=40)


@pytest.fixture(scope="session")
def demo(project: Path) -> Base:
    """The untrained demo student."""
    return load_base(str(project / "runs/demo/untrained"))


@pytest.fixture
def small(demo: Base) -> Base:
    """A model of 43,000 parameters with the tokenizer of the demo student."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    return replace(demo, model=LlamaForCausalLM(config))

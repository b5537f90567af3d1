"""The parts of a cell's key: hashes of what decides a student and its answers, equal on every machine."""

import json
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from .. import provenance
from ..evaluation.tasks import rows
from ..names import DEMO_STUDENTS, untrained_dir


# Prefixes of arguments that are not in a key. The base model and the template are hashed by their content.
NOT_HASHED = (*provenance.NOT_HASHED, "student", "model_name_or_path", "model_revision")


def argument_defaults() -> dict[str, Any]:
    """Return our own defaults of `training/sft.py`: a recipe may state one of them without changing the key."""
    from ..training.arguments import SFTConfig

    return {name: getattr(SFTConfig, name) for name in SFTConfig.__annotations__}


@lru_cache
def base_hash(name: str, revision: str) -> str:
    """Return the hash of a base model's weights, configs and tokenizer, or its commit on the Hub.

    The same model has the same hash on every machine. So the version of transformers that wrote a config is left out,
    and the weights of a demo student: they are drawn with a fixed seed, and torch rounds them differently on a CPU
    without AVX2 (aten/src/ATen/native/cpu/DistributionTemplates.h, `normal_fill_AVX2`).
    """
    is_demo = name in {str(untrained_dir(student)) for student in DEMO_STUDENTS}
    if is_demo:
        from ..training.models import ensure_demo_student

        ensure_demo_student(name)
    folder = Path(name)
    if folder.is_dir():
        configs = [path for path in (folder / "config.json", folder / "generation_config.json") if path.is_file()]
        files = [*([] if is_demo else sorted(folder.glob("*.safetensors"))), folder / "tokenizer.json"]
        return digest(
            [
                *(json.loads(path.read_text(encoding="utf-8")) | {"transformers_version": None} for path in configs),
                *(_file_hash(path) for path in files),
            ]
        )
    from transformers import AutoConfig

    return str(AutoConfig.from_pretrained(name, revision=revision)._commit_hash)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@lru_cache
def questions_hash(task: str, dataset: str, test_questions: int | None) -> str:
    """Return the hash of a task's test questions."""
    split = rows(task.removeprefix("cot_").removesuffix("_paper"), dataset, test_questions)["test"]
    return digest([list(split["id"]), list(split["answer"])])


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

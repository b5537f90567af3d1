"""Evaluate a student through lm-eval's own API, task by task: checked before, recorded meanwhile, resumed later.

runs/smollm2-135m/gpt4o-l5-svamp/seed100/results/cot_svamp/…/results_2026-11-24T….json, and samples_cot_svamp_….jsonl

Each task's files are written whole; a task that has them, for the same student, questions and settings, is not run
again.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .answers import PARSER
from .folders import replaced_folder
from .preflight import check_template
from .scores import RESULTS, score_of
from .taxonomy import CotDistillError, nearest


if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

Backend = Literal["vllm", "hf"]

CONTEXT = 4096  # tokens; the paper trains on no longer ones, and vLLM reserves memory for what it is told
_WHAT_ANSWERS = ("*.safetensors", "*config.json", "tokenizer*", "chat_template*", "vocab*", "merges*")
_LIBRARIES = ("cot-distill", "lm_eval", "transformers", "torch", "vllm")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How to evaluate: `release` is a folder (else the tasks' own default), `model_args` are lm-eval's, by name.

    `limit` takes the first questions of each task only.
    """

    backend: Backend
    release: Path | None = None
    limit: int | None = None
    model_args: dict[str, Any] = field(default_factory=dict)


def evaluate(student: Path, tasks: list[str], how: Evaluation) -> None:
    """Evaluate the student in a folder on tasks or groups of ours; results go to `{student}/results/{task}`.

    Raises:
        CotDistillError: a name is no task of ours; the student is none, or would be asked otherwise than it was
            trained (`preflight.py`); vLLM is not installed.
    """
    from lm_eval import tasks as lm_eval_tasks
    from transformers import AutoTokenizer

    if not (student / "config.json").is_file():
        raise CotDistillError(f"There is no student in {student}: name a folder that `training/sft.py` wrote.")
    check_template(student, AutoTokenizer.from_pretrained(student))
    manager = lm_eval_tasks.TaskManager(
        include_path=str(Path(lm_eval_tasks.__file__).parent / "cot_distill"),  # where an install lays `eval_tasks/`
        include_defaults=False,  # to index the thousands of others takes seconds
        metadata={"release": str(how.release)} if how.release else {},
    )
    for name in tasks:
        if name not in manager.all_tasks:
            raise CotDistillError(f"Unknown task `{name}`: use {nearest(name, manager.all_tasks)}.")
    model, weights, found = None, _digest(student), manager.load(tasks)["tasks"]
    for number, (name, task) in enumerate(found.items(), start=1):
        known = _is_whole(student / RESULTS / name, settings := _settings(task, weights, how))
        print(f"[{number}/{len(found)}] {name}: {student / RESULTS / name}{known * ' is there'}", file=sys.stderr)
        if not known:
            model = model or _load(student, how)
            _run(model, name, student, settings, how, manager)


def _settings(task: Any, weights: str, how: Evaluation) -> dict[str, Any]:
    """Return what decides a result: another value of any asks for another evaluation."""
    asked = [[task.doc_to_text(doc), doc["answer"]] for doc in task.test_docs()]
    return {
        "student_sha256": weights,
        "questions_sha256": sha256(json.dumps(asked).encode()).hexdigest(),
        "task_version": task.VERSION,
        "parser": PARSER,
        "backend": how.backend,
        "limit": how.limit,
        "model_args": how.model_args,
    }


def _digest(student: Path) -> str:
    """Return the SHA-256 over every file that decides what the student answers."""
    whole = sha256()
    for path in sorted({path for pattern in _WHAT_ANSWERS for path in student.glob(pattern)}):
        with path.open("rb") as file:
            whole.update(f"{path.name} {file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _is_whole(folder: Path, settings: dict[str, Any]) -> bool:
    return any(
        json.loads(path.read_text())["cot_distill"]["settings"] == settings for path in folder.rglob("results_*.json")
    )


def _load(student: Path, how: Evaluation) -> Any:
    """Load the student into the backend, in float32 on a CPU and in bfloat16 on a GPU unless `model_args` say else.

    In float32 vLLM and `hf` give the same greedy answers, in bfloat16 they do not (README, "Evaluation").
    """
    import torch

    on_gpu = torch.cuda.is_available()
    shared = {"pretrained": str(student), "dtype": "bfloat16" if on_gpu else "float32"}
    if how.backend == "hf":
        from .backends import RecordedHF

        return RecordedHF(**shared | {"device": "cuda" if on_gpu else "cpu", "batch_size": 64} | how.model_args)
    if find_spec("vllm") is None:
        raise CotDistillError(
            "vLLM is not installed here: `make vllm` makes an environment for a CPU, `pip install vllm` one for a "
            "GPU; or use `--backend hf`."
        )
    from transformers import AutoConfig

    from .backend_vllm import RecordedVLLM

    context = getattr(AutoConfig.from_pretrained(student), "max_position_embeddings", CONTEXT)
    arguments = shared | {"batch_size": "auto", "max_model_len": min(context, CONTEXT)}
    if not on_gpu:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GB; by default vLLM takes a share of the whole memory
        arguments["enforce_eager"] = True
    return RecordedVLLM(**arguments | how.model_args)


def _run(
    model: Any, name: str, student: Path, settings: dict[str, Any], how: Evaluation, manager: TaskManager
) -> None:
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    with replaced_folder(student / RESULTS / name) as staged:
        tracker = EvaluationTracker(output_path=str(staged))
        results = lm_eval.simple_evaluate(
            model=model,
            model_args={"pretrained": str(student)} | how.model_args,
            tasks=[name],
            limit=how.limit,
            apply_chat_template=True,
            evaluation_tracker=tracker,
            task_manager=manager,
        )
        samples = results.pop("samples")
        for sample in samples[name]:
            generation = model.recorder.of_prompt[sample["arguments"][0][0]]
            sample |= {"finish_reason": generation.finish_reason, "output_tokens": generation.tokens}
        results["config"]["model"] = how.backend
        score = score_of(name, results, samples[name], approximate=False)
        results["results"][name] |= {
            "capped,none": score.capped / score.n,
            "completed_accuracy,none": score.completed_accuracy,
            "output_tokens,none": score.mean_output_tokens,
        }
        results["cot_distill"] = {
            "settings": settings,
            "versions": {library: _version(library) for library in _LIBRARIES},
        }
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name=name, samples=samples[name])


def _version(library: str) -> str | None:
    try:
        return version(library)
    except ModuleNotFoundError:  # PackageNotFoundError
        return None

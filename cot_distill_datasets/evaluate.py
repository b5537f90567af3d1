"""Evaluate a student through lm-eval's own API, task by task: checked before, recorded meanwhile, resumed later.

runs/demo/oracle-l3-arith/seed100/results/cot_arith-hf/…/results_2026-11-24T….json, and samples_cot_arith_….jsonl

Each task's files are written whole; a task that has them, for the same student, questions and settings, is not run
again.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .answers import PARSER
from .folders import replaced_folder, restore
from .preflight import check_prompt, check_template
from .scores import OURS, RESULTS, Score, digest, load_tokenizer, read_score, score_of
from .tasks import task_folder
from .taxonomy import CotDistillError, nearest


if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedTokenizerBase

Backend = Literal["vllm", "hf"]

CONTEXT = 4096  # tokens; the paper trains on no longer ones, and vLLM reserves memory for what it is told
# Arguments of lm-eval's models that ask another student, or ask it otherwise.
_OF_THE_STUDENT = {
    "pretrained", "tokenizer", "peft", "delta", "lora_local_path", "gguf_file", "add_bos_token", "chat_template_args",
    "trust_remote_code",
}  # fmt: skip
_NO_MATTER = {"batch_size", "device", "gpu_memory_utilization", "max_batch_size"}  # to what is answered
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


def evaluate(student: Path, names: list[str], how: Evaluation) -> list[Score]:
    """Evaluate the student in a folder on tasks or groups of ours; results go to `{student}/results`.

    Return the score of each task that was meant, in that order.

    Raises:
        CotDistillError: a name is no task of ours; the student is none, cannot be loaded, or would be asked otherwise
            than it was trained (`preflight.py`); vLLM is not installed. Nothing is written then.
    """
    weights, tokenizer = digest(student), load_tokenizer(student)
    check_template(student, tokenizer)
    arguments = _arguments(student, how)
    folders, pending = {}, {}
    for name, task in _tasks(names, how).items():
        folder = student / RESULTS / "-".join([name, how.backend, *([f"limit{how.limit}"] if how.limit else [])])
        settings = _settings(task, weights, arguments, how)
        known = _is_whole(folder, settings)
        print(f"{name}: {folder}{' is there' if known else ''}", file=sys.stderr)
        folders[folder] = name
        if not known:
            pending[folder] = (task, settings)
    model = _load(student, arguments, how.backend) if pending else None
    for task, _ in pending.values():
        _check_prompts(model, task)
    for number, (folder, (task, settings)) in enumerate(pending.items(), start=1):
        print(f"[{number}/{len(pending)}] {folder.name}", file=sys.stderr)
        results, samples = _asked(model, task, student, settings, how)
        _write(folder, task.task_name, results, samples, tokenizer)
    written = {name: path for folder, name in folders.items() for path in folder.rglob("results_*.json")}
    return [read_score(path, name, tokenizer, weights) for name, path in written.items()]


def _manager(how: Evaluation) -> TaskManager:
    """Return what knows our tasks only: to index lm-eval's thousands of others takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(
        include_path=str(task_folder()),
        include_defaults=False,
        metadata={"release": str(how.release)} if how.release else {},
    )


def _tasks(names: list[str], how: Evaluation) -> dict[str, ConfigurableTask]:
    """Load the tasks that are meant, each once."""
    manager = _manager(how)
    found: dict[str, ConfigurableTask] = {}
    for name in names:
        if name not in manager.all_tasks:
            raise CotDistillError(f"Unknown task `{name}`: use {nearest(name, manager.all_tasks)}.")
        found |= manager.load([name])["tasks"]
    for name, task in found.items():
        if how.backend == "vllm" and "num_beams" in task.config.generation_kwargs:
            raise CotDistillError(f"`{name}` needs beam search, which vLLM has not: use `--backend hf`.")
    return found


def _arguments(student: Path, how: Evaluation) -> dict[str, Any]:
    """Return lm-eval's arguments of the model: float32 on a CPU and bfloat16 on a GPU, unless told else.

    In float32 vLLM and `hf` give the same greedy answers, in bfloat16 they do not (README, "Evaluation").
    """
    import torch
    from transformers import AutoConfig

    if wrong := sorted(_OF_THE_STUDENT & how.model_args.keys()):
        raise CotDistillError(f"--model-args may not say `{wrong[0]}`: the student is asked as it was trained.")
    on_gpu = torch.cuda.is_available()
    arguments: dict[str, Any] = {"pretrained": str(student), "dtype": "bfloat16" if on_gpu else "float32"}
    if how.backend == "hf":
        arguments |= {"device": "cuda" if on_gpu else "cpu", "batch_size": 64}
    else:
        arguments |= {"batch_size": "auto"} | ({} if on_gpu else {"enforce_eager": True})
        if getattr(AutoConfig.from_pretrained(student), "max_position_embeddings", 0) > CONTEXT:
            arguments["max_model_len"] = CONTEXT
    return arguments | how.model_args


def _settings(task: ConfigurableTask, weights: str, arguments: dict[str, Any], how: Evaluation) -> dict[str, Any]:
    """Return what decides a result: another value of any asks for another evaluation."""
    asked = [[task.doc_to_text(doc), doc["answer"]] for doc in task.test_docs()]
    return {
        "student_sha256": weights,
        "questions_sha256": sha256(json.dumps(asked).encode()).hexdigest(),
        "task_version": task.VERSION,
        "parser": PARSER,
        "backend": how.backend,
        "limit": how.limit,
        "model_args": {name: value for name, value in arguments.items() if name not in {"pretrained", *_NO_MATTER}},
    }


def _is_whole(folder: Path, settings: dict[str, Any]) -> bool:
    restore(folder)
    return any(json.loads(path.read_text())[OURS]["settings"] == settings for path in folder.rglob("results_*.json"))


def _load(student: Path, arguments: dict[str, Any], backend: Backend) -> Any:
    if backend == "vllm" and find_spec("vllm") is None:
        raise CotDistillError(
            "vLLM is not installed here: `make vllm` makes an environment for a CPU, `pip install vllm` one for a "
            "GPU; or use `--backend hf`."
        )
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GB; by default vLLM takes a share of the whole memory
    try:
        if backend == "hf":
            from .backends import RecordedHF

            return RecordedHF(**arguments)
        from .backend_vllm import RecordedVLLM

        return RecordedVLLM(**arguments)
    except Exception as error:  # what three libraries raise of broken weights and unknown arguments has no common base
        raise CotDistillError(f"{student} cannot be loaded with {arguments}: {error}") from error


def _check_prompts(model: Any, task: ConfigurableTask) -> None:
    """Check every prompt of a task, as lm-eval renders and tokenises it."""
    room = model.max_length - task.config.generation_kwargs["max_gen_toks"]
    for doc in task.test_docs():
        prompt = model.apply_chat_template([{"role": "user", "content": task.doc_to_text(doc)}])
        try:
            check_prompt(model.tok_encode(prompt), model.tokenizer, room)
        except CotDistillError as error:
            raise CotDistillError(f"`{task.task_name}`: {error}") from error


def _asked(
    model: Any, task: ConfigurableTask, student: Path, settings: dict[str, Any], how: Evaluation
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask all questions of a task; return lm-eval's results and samples, with how each answer ended in both."""
    import lm_eval

    name = task.task_name
    model.recorder.of_prompt.clear()
    results = lm_eval.simple_evaluate(
        model=model, tasks=[task], task_manager=_manager(how), limit=how.limit, apply_chat_template=True
    )
    samples = results.pop("samples")[name]
    for sample in samples:
        generation = model.recorder.of_prompt[sample["arguments"][0][0]]
        sample |= {"finish_reason": generation.finish_reason, "output_tokens": generation.tokens}
    command = ["cot-distill", "evaluate", str(student), "--tasks", name, "--backend", how.backend]
    command += ["--release", str(how.release)] if how.release else []
    if how.model_args:
        command += ["--model-args", ",".join(f"{key}={value}" for key, value in how.model_args.items())]
    versions = {library: version(library) for library in _LIBRARIES if library != "vllm" or how.backend == "vllm"}
    results[OURS] = {"settings": settings, "versions": versions, "command": command}
    results["config"] |= {"model": how.backend, "model_args": {"pretrained": str(student)} | settings["model_args"]}
    score = score_of(name, results, samples, approximate=False)
    results["results"][name] |= {
        "capped,none": score.capped / score.n,
        "completed_accuracy,none": score.completed_accuracy,
        "output_tokens,none": score.mean_output_tokens,
    }
    return results, samples


def _write(
    folder: Path,
    name: str,
    results: dict[str, Any],
    samples: list[dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write lm-eval's two files, and read them back: lm-eval says no more than a log line of a full disk."""
    from lm_eval.loggers import EvaluationTracker

    with replaced_folder(folder) as staged:
        tracker = EvaluationTracker(output_path=str(staged))
        template = tokenizer.get_chat_template()
        tracker.general_config_tracker.log_experiment_args(
            model_source=results["config"]["model"], model_args=results["config"]["model_args"],
            system_instruction=None, chat_template=template, fewshot_as_multiturn=True,
        )  # fmt: skip
        tracker.save_results_aggregated(results=results, samples={name: samples})
        tracker.save_results_samples(task_name=name, samples=samples)
        weights = results[OURS]["settings"]["student_sha256"]
        written = [read_score(path, name, tokenizer, weights) for path in staged.rglob("results_*.json")]
        if [score.n for score in written] != [len({sample["doc_id"] for sample in samples})]:
            raise CotDistillError(f"{folder} cannot be written, and is as it was: is the disk full?")

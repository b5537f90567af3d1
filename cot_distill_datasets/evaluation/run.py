"""Evaluate students through lm-eval's API: checked first, recorded, and resumed after a kill.

runs/demo/oracle-l3-arith/seed100/results/cot_arith-hf/…/results_2026-11-24T….json, and samples_cot_arith_….jsonl

Each task's files are written atomically. A task that has results for the same student, questions and settings is not
run again.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval import evaluator
from lm_eval.api.samplers import get_sampler
from lm_eval.api.task import ConfigurableTask
from lm_eval.loggers import EvaluationTracker
from lm_eval.loggers.utils import get_commit_from_path
from lm_eval.tasks import TaskManager
from transformers import AutoConfig

from ..chat import OWN_TASK, bos_rule, check_prompt, check_template, task_folder
from ..errors import CotDistillError, nearest
from ..files import atomic_dir, recover
from ..grading.answers import GRADER_VERSION
from ..hub import limit_waits
from ..messages import message
from ..names import RELEASE_NAME
from ..release.folder import read_release
from .engines import Backend, Engine, read_architecture
from .results import Sample, Student, read_score, read_settings, score_samples
from .samples import COT_DISTILL_KEY, RESULTS, find_results, load_result, load_samples, samples_file
from .scores import Score
from .tasks import exemplar_hash, own_splits


CONTEXT = 4096  # tokens; the paper trains on no longer rows, and vLLM reserves memory for the whole context
# Arguments of lm-eval's models that would change the student, or the way it is asked.
_FORBIDDEN_MODEL_ARGS = {
    "pretrained", "tokenizer", "peft", "delta", "lora_local_path", "gguf_file", "add_bos_token", "chat_template_args",
    "trust_remote_code",
}  # fmt: skip
_IRRELEVANT_ARGS = {"batch_size", "device", "gpu_memory_utilization", "max_batch_size"}  # they do not change answers
_LIBRARIES = ("cot-distill", "lm_eval", "transformers", "torch", "vllm")

# lm-eval's own way without git, which prints "fatal: not a git repository" outside a repository.
evaluator.get_git_commit_hash = lambda: get_commit_from_path(os.getcwd())


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How to evaluate.

    `release` is the folder of the test splits (None: the tasks' own default), `limit` the number of questions per task
    (None: all), `test_questions` the size of an embedded benchmark's test split (None: the task's own), `exemplars`
    the training rows shown before each question, `model_args` the arguments of lm-eval's model by name.
    """

    backend: Backend = "vllm"
    release: Path | None = None
    limit: int | None = None
    test_questions: int | None = None
    exemplars: list[dict[str, Any]] = field(default_factory=list)
    model_args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """A student with the task of each of its results folders, and what is to be run to complete them."""

    student: Student
    arguments: dict[str, Any]  # of lm-eval's model
    folders: dict[Path, str]
    pending: dict[Path, tuple[ConfigurableTask, dict[str, Any]]]  # the task and its settings
    architecture: str | None  # None: nothing is to be run


def evaluate(student: Student, tasks: Sequence[str], config: EvaluationConfig) -> list[Score]:
    """Evaluate a student on tasks or groups, and return the score of each task. Results go to `{student}/results`.

    Raises CotDistillError, with nothing written, if a task is unknown, vLLM is not installed, or the student cannot be
    loaded or would be asked in another way than it was trained (`chat.py`).
    """
    ((_, scores),) = evaluate_students([student], tasks, config)
    return scores


def evaluate_students(
    students: Sequence[Student], tasks: Sequence[str], config: EvaluationConfig
) -> Iterator[tuple[Student, list[Score]]]:
    """Evaluate students as `evaluate` does each, and yield a student and its scores once its results are written.

    Students of one architecture follow each other and share an engine of vLLM. Raises CotDistillError before any
    student is evaluated if `evaluate` would reject one of them.
    """
    for student in students:
        trained_sha256 = student.provenance.chat_template_sha256 if student.provenance else None
        check_template(student.folder, student.tokenizer, trained_sha256)
    loaded = _load_tasks(tasks, config)
    groups: dict[str | None, list[_Evaluation]] = {}
    for student in students:
        evaluation = _plan(student, loaded, config)
        groups.setdefault(evaluation.architecture, []).append(evaluation)
    with closing(Engine(config.backend)) as engine:
        for architecture, group in reversed(groups.items()):  # what is loaded last is asked first
            if architecture:
                _check_group(engine, group)
        for evaluation in chain.from_iterable(groups.values()):
            yield evaluation.student, _run(engine, evaluation, config)


def _plan(student: Student, tasks: dict[str, ConfigurableTask], config: EvaluationConfig) -> _Evaluation:
    arguments = _model_args(student.folder, config)
    folders, pending = {}, {}
    for name, task in tasks.items():
        folder = student.folder / RESULTS / _results_name(name, config)
        settings = _settings(task, student.sha256, arguments, config)
        is_complete = _has_results(student, folder, name, settings)
        message(f"{name}: results {'are' if is_complete else 'will be'} in {folder}.")
        folders[folder] = name
        if not is_complete:
            pending[folder] = (task, settings)
    return _Evaluation(
        student=student, arguments=arguments, folders=folders, pending=pending,
        architecture=read_architecture(student.folder) if pending else None,
    )  # fmt: skip


def _check_group(engine: Engine, group: list[_Evaluation]) -> None:
    """Load the first student of a group, and check every prompt: the others would be sent the same."""
    student = group[0].student
    tasks = {task.task_name: task for evaluation in group for task, _ in evaluation.pending.values()}
    engine.load(student.folder, group[0].architecture, group[0].arguments)
    message(f"Checking the prompts of {', '.join(tasks)}.")
    bos_required, warning = bos_rule(student.tokenizer)
    if warning:
        message(f"warning: {warning}")
    for task in tasks.values():
        _check_prompts(engine.model, task, student.folder, bos_required=bos_required)


def _run(engine: Engine, evaluation: _Evaluation, config: EvaluationConfig) -> list[Score]:
    """Run the pending tasks of a student, and return the scores of all."""
    student = evaluation.student
    if evaluation.pending:
        engine.load(student.folder, evaluation.architecture, evaluation.arguments)
    for number, (folder, (task, settings)) in enumerate(evaluation.pending.items(), start=1):
        message(f"[{number}/{len(evaluation.pending)}] {folder}")
        _run_task(engine.model, task, student, settings, config, folder)
    folders = evaluation.folders.items()
    return [read_score(student, path, name) for folder, name in folders for path in _results_files(folder)]


def read_answers(student: Student, task: str, config: EvaluationConfig) -> tuple[dict[str, Any], list[Sample]]:
    """Return lm-eval's results and samples of a task that `evaluate` has evaluated."""
    path = find_results(student.folder / RESULTS / _results_name(task, config))[-1]
    return load_result(path), load_samples(samples_file(path, task))


def _results_name(task: str, config: EvaluationConfig) -> str:
    numbers = {"limit": config.limit, "questions": config.test_questions, "shots": len(config.exemplars)}
    return "-".join([task, config.backend, *(f"{name}{number}" for name, number in numbers.items() if number)])


def _results_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("results_*.json"))


def _task_manager(config: EvaluationConfig, own_benchmark: str | None = None) -> TaskManager:
    """Return a manager of our tasks only: indexing lm-eval's thousands of tasks takes seconds."""
    metadata: dict[str, Any] = {"release": str(config.release)} if config.release else {}
    metadata |= {"benchmark": own_benchmark} if own_benchmark else {}
    metadata |= {"test_questions": config.test_questions} if config.test_questions else {}
    return TaskManager(include_path=str(task_folder()), include_defaults=False, metadata=metadata)


def _load_tasks(names: Sequence[str], config: EvaluationConfig) -> dict[str, ConfigurableTask]:
    """Load tasks and the members of groups, each once."""
    limit_waits()
    manager, tasks = _task_manager(config), dict[str, ConfigurableTask]()
    release = read_release(config.release or Path(RELEASE_NAME))
    own = {f"cot_{benchmark}": benchmark for benchmark in (own_splits(release) if release else [])}
    for name in names:
        if name in own:
            (task,) = _task_manager(config, own[name]).load([OWN_TASK])["tasks"].values()
            task.config.task = name
            tasks[name] = task
            continue
        known = [task for task in (*manager.all_tasks, *own) if task != OWN_TASK]
        if name not in known:
            raise CotDistillError(f"Unknown task `{name}`: use {nearest(name, known)}.")
        tasks |= manager.load([name])["tasks"]
    for task in tasks.values() if config.exemplars else ():
        task.config.num_fewshot = len(config.exemplars)
        task.sampler = get_sampler("first_n")(config.exemplars)
    for name, task in tasks.items():
        if config.backend == "vllm" and "num_beams" in task.config.generation_kwargs:
            raise CotDistillError(f"`{name}` needs beam search, which vLLM does not support: use `--backend hf`.")
    return tasks


def _model_args(student: Path, config: EvaluationConfig) -> dict[str, Any]:
    """Return lm-eval's arguments of the model. The default dtype is float32 on a CPU and bfloat16 on a GPU.

    vLLM and `hf` give the same greedy answers in float32, not in bfloat16 (docs/benchmarks.md).
    """
    if forbidden := sorted(_FORBIDDEN_MODEL_ARGS & config.model_args.keys()):
        raise CotDistillError(f"--model-args does not allow `{forbidden[0]}`: a student is asked as it was trained.")
    on_gpu = torch.cuda.is_available()
    arguments: dict[str, Any] = {"pretrained": str(student), "dtype": "bfloat16" if on_gpu else "float32"}
    if config.backend == "hf":
        arguments |= {"device": "cuda" if on_gpu else "cpu", "batch_size": 64}
    else:
        arguments |= {"batch_size": "auto"} | ({} if on_gpu else {"enforce_eager": True})
        student_config = AutoConfig.from_pretrained(student, trust_remote_code=False)
        if getattr(student_config, "max_position_embeddings", 0) > CONTEXT:
            arguments["max_model_len"] = CONTEXT
    return arguments | config.model_args


def _settings(
    task: ConfigurableTask, student_sha256: str, arguments: dict[str, Any], config: EvaluationConfig
) -> dict[str, Any]:
    """Return everything that decides a result. If any of it changes, the task is run again."""
    questions = [[task.doc_to_text(doc), doc["answer"]] for doc in task.test_docs()]
    ignored = {"pretrained", *_IRRELEVANT_ARGS}
    return {
        "student_sha256": student_sha256,
        "questions_sha256": sha256(json.dumps(questions).encode()).hexdigest(),
        "task_version": task.VERSION,
        "parser": GRADER_VERSION,
        "backend": config.backend,
        "limit": config.limit,
        "exemplars": [exemplar_hash(row) for row in config.exemplars],
        "model_args": {name: value for name, value in arguments.items() if name not in ignored},
    }


def _has_results(student: Student, folder: Path, task: str, settings: dict[str, Any]) -> bool:
    """Whether a task has readable results with these settings. Broken results are named, and the task is run again."""
    recover(folder)
    paths = _results_files(folder)
    try:
        is_current = bool(paths) and all(read_settings(path) == settings for path in paths)
        return is_current and all(read_score(student, path, task) for path in paths)
    except CotDistillError as error:
        message(f"warning: {error} `{task}` is evaluated again.")
        return False


def _check_prompts(model: Any, task: ConfigurableTask, student: Path, *, bos_required: bool) -> None:
    """Check every prompt of a task, as lm-eval renders and tokenizes it."""
    room = model.max_length - task.config.generation_kwargs["max_gen_toks"]
    for doc in task.test_docs():
        prompt = task.fewshot_context(
            doc, task.config.num_fewshot, apply_chat_template=True, fewshot_as_multiturn=True,
            chat_template=model.apply_chat_template,
        )  # fmt: skip
        try:
            check_prompt(model.tok_encode(prompt), model.tokenizer, room=room, bos_required=bos_required)
        except CotDistillError as error:
            raise CotDistillError(f"{student}, `{task.task_name}`: {error}") from error


def _run_task(
    model: Any,
    task: ConfigurableTask,
    student: Student,
    settings: dict[str, Any],
    config: EvaluationConfig,
    folder: Path,
) -> None:
    """Ask all questions of a task, and write lm-eval's results and samples with how each answer ended."""
    name = task.task_name
    model.recorder.by_prompt.clear()
    try:
        results = lm_eval.simple_evaluate(
            model=model, tasks=[task], task_manager=_task_manager(config), limit=config.limit, apply_chat_template=True
        )
    except torch.OutOfMemoryError as error:
        raise CotDistillError(
            f"The GPU is out of memory for {student.folder}, `{name}`: set `--model-args batch_size=…` to less than "
            f"{model.batch_size}. It changes no score."
        ) from error
    samples = results.pop("samples")[name]
    for sample in samples:
        generation = model.recorder.by_prompt[sample["arguments"][0][0]]
        sample |= {"finish_reason": generation.finish_reason, "output_tokens": generation.tokens}
    versions = {library: version(library) for library in _LIBRARIES if library != "vllm" or config.backend == "vllm"}
    command = _command(student.folder, name, config)
    results[COT_DISTILL_KEY] = {"settings": settings, "versions": versions, "command": command}
    model_args = {"pretrained": str(student.folder)} | settings["model_args"]
    results["config"] |= {"model": config.backend, "model_args": model_args}
    results["configs"][name]["metadata"].pop("config_source")  # a local path
    score = score_samples(student.folder, name, results, samples, estimated=False)
    results["results"][name] |= {
        "truncated,none": score.truncated / score.n,
        "finished_accuracy,none": score.finished_accuracy,
        "output_tokens,none": score.mean_output_tokens,
    }
    _write(folder, name, results, samples, student)
    student.scores.update({(path, name): score for path in _results_files(folder)})


def _command(student: Path, task: str, config: EvaluationConfig) -> list[str]:
    command = ["cot-distill", "evaluate", str(student), "--tasks", task, "--backend", config.backend]
    command += ["--release", str(config.release)] if config.release else []
    command += ["--test-questions", str(config.test_questions)] if config.test_questions else []
    if config.model_args:
        command += ["--model-args", ",".join(f"{key}={value}" for key, value in config.model_args.items())]
    return command


def _write(folder: Path, task: str, results: dict[str, Any], samples: list[Sample], student: Student) -> None:
    """Write lm-eval's two files, and check their size: on a full disk, lm-eval only logs a line."""
    with atomic_dir(folder) as staged:
        tracker = EvaluationTracker(output_path=str(staged))
        tracker.general_config_tracker.log_experiment_args(
            model_source=results["config"]["model"], model_args=results["config"]["model_args"],
            system_instruction=None, chat_template=student.tokenizer.get_chat_template(), fewshot_as_multiturn=True,
        )  # fmt: skip
        tracker.save_results_aggregated(results=results, samples={task: samples})
        tracker.save_results_samples(task_name=task, samples=samples)
        lines = [path.read_bytes().count(b"\n") for path in staged.rglob("samples_*.jsonl")]
        try:
            is_complete = [type(json.loads(path.read_bytes())) for path in _results_files(staged)] == [dict]
        except ValueError:
            is_complete = False
        if not is_complete or lines != [len(samples)]:
            raise CotDistillError(f"Cannot write {folder}: is the disk full? Existing results were not changed.")

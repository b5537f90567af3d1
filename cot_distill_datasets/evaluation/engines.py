"""The model that answers: one engine of vLLM for all students of an architecture, or a model of `hf` for each student.

On a CPU, a start of vLLM 0.32 takes 18 seconds, and a swap of the weights of a small student 0.03.
"""

import gc
import json
import os
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from ..errors import CotDistillError
from ..messages import message
from .results import hashed_files


Backend = Literal["vllm", "hf"]

_NOT_COMPARED = {"model.safetensors.index.json", "trainer_state.json"}
# Keys of config.json and tokenizer_config.json that change no answer, and that a training sets.
_IRRELEVANT_KEYS = {"is_local", "local_files_only", "transformers_version", "use_cache"}


def read_architecture(student: Path) -> str:
    """Return the hash of all that decides a student's answers but the values of its weights.

    It covers the tensors' names and shapes: of a tensor that is missing in the weights, vLLM would keep the former
    student's. Raises CotDistillError if a file cannot be read.
    """
    facts: dict[str, Any] = {}
    for path in hashed_files(student):
        try:
            if path.suffix == ".safetensors":
                facts |= _shapes(path)
            elif path.name.endswith("config.json"):
                config = json.loads(path.read_bytes())
                facts[path.name] = {key: value for key, value in config.items() if key not in _IRRELEVANT_KEYS}
            elif path.name not in _NOT_COMPARED:
                facts[path.name] = sha256(path.read_bytes()).hexdigest()
        except (SafetensorError, OSError, ValueError, AttributeError) as error:  # AttributeError: no JSON object
            raise CotDistillError(f"Cannot read {path}: {error}. Train the student again.") from error
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _shapes(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as tensors:
        slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118  # not a mapping
        return {name: [part.get_shape(), part.get_dtype()] for name, part in slices.items()}


class Engine:
    """Holds lm-eval's `model` of the student that is asked now."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._student: Path | None = None
        self._architecture: str | None = None
        self.model: Any = None

    def load(self, student: Path, architecture: str | None, arguments: dict[str, Any]) -> None:
        """Load a student, unless it is loaded already. If vLLM has one of this architecture, only the weights change.

        Raises CotDistillError if vLLM is not installed, or the student cannot be loaded with these arguments.
        """
        if student == self._student:
            return
        message(f"Loading {student}.")
        # With `data_parallel_size`, lm-eval starts vLLM again for each task (`vllm_causallms.py`).
        is_kept = self._backend == "vllm" and int(arguments.get("data_parallel_size", 1)) == 1
        try:
            if is_kept and architecture == self._architecture:
                self.model.swap_weights(student)
            else:
                self.close()
                self.model = _load_model(arguments, self._backend)
        except CotDistillError:
            raise
        except Exception as error:  # the errors of three libraries have no common base class
            raise CotDistillError(f"Cannot load {student} with {arguments}: {error}") from error
        self._student, self._architecture = student, architecture

    def close(self) -> None:
        """Free the memory of the model."""
        if self.model and self._backend == "vllm":
            self.model.close()
        self.model = self._student = self._architecture = None
        gc.collect()


def _load_model(arguments: dict[str, Any], backend: Backend) -> Any:
    if backend == "vllm" and find_spec("vllm") is None:
        raise CotDistillError(
            "The backend `vllm` is not installed: run `pip install vllm` on a GPU, or pass `--backend hf`."
        )
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GB; vLLM's default is a share of all memory
    if backend == "hf":
        from .recorders import RecordedHF

        return RecordedHF(**arguments)
    from .recorder_vllm import RecordedVLLM

    return RecordedVLLM(**arguments)

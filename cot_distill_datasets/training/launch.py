"""`cot-distill train`: `accelerate launch` on the installed `sft.py`, with accelerate's own launcher."""

import signal
from collections.abc import Sequence
from importlib.util import find_spec
from subprocess import CalledProcessError

import psutil
import torch
import yaml
from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from ..files import find_file, resource


def launch(arguments: Sequence[str], profile: str | None = None) -> int:
    """Train a student, and return the exit code of `sft.py`, whose `arguments` these are; 130 if it was interrupted.

    `profile` is a shipped one or the path of a YAML; by default, all GPUs of the machine are used. A profile without
    `num_processes` gets one process for each GPU. Raises CotDistillError if there is no such profile.
    """
    if find_spec("trl") is None:
        raise ModuleNotFoundError(name="trl")
    gpus = torch.accelerator.device_count()
    path = find_file(profile or ("ddp" if gpus > 1 else "gpu" if gpus else "cpu"), "training/accelerate", ".yaml")
    flags = ["--config_file", str(path), "--num_cpu_threads_per_process", "1"]  # `sft.py` sets its own
    if "num_processes" not in yaml.safe_load(path.read_text(encoding="utf-8")):
        flags += ["--num_processes", str(max(gpus, 1))]
    others = psutil.Process().children(recursive=True)  # such as the grader's
    try:
        launch_command(launch_command_parser().parse_args([*flags, str(resource("training/sft.py")), *arguments]))
    except CalledProcessError as error:  # of one process
        return _exit_code(error.returncode)
    except ChildFailedError as error:  # of several
        return _exit_code(error.get_first_failure()[1].exitcode)
    except (KeyboardInterrupt, SignalException):
        _stop_training(others)
        return 130
    return 0


def _exit_code(code: int) -> int:
    """Return an exit code as a shell does: 128 + N if a process was ended by the signal N."""
    return code if code >= 0 else 128 - code


def _stop_training(others: Sequence[psutil.Process]) -> None:
    """Wait until the training has ended. A terminal interrupts it too, a signal to this process alone does not."""
    processes = [process for process in psutil.Process().children(recursive=True) if process not in others]
    for process in psutil.wait_procs(processes, timeout=5)[1]:
        process.send_signal(signal.SIGINT)
    psutil.wait_procs(processes)

"""What a training prints: a line before each stage, a progress bar in a terminal, and its losses in `train.log`.

runs/demo/oracle-l3-arith/seed100/train.log
{"loss": 7.05, "grad_norm": 11.7, "learning_rate": 0.0, "epoch": 0.1, …, "step": 1}
"""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm import tqdm
from transformers import ProgressCallback

from ..messages import message


LOSS_LOG = "train.log"


def read_losses(student: Path) -> list[tuple[int, float]]:
    """Return the step and the loss of each logged step of a student's training; none without its `train.log`."""
    path = student / LOSS_LOG
    if not path.is_file():
        return []
    logs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [(log["step"], log["loss"]) for log in logs if "loss" in log]


def announce(text: str) -> None:
    """Print a line to stderr, in the main process only."""
    if PartialState().is_main_process:
        message(text)


class LossLog(ProgressCallback):
    """A progress bar with the loss, and a line of JSON in the student's `train.log` for each logged step.

    A resumed run keeps the lines up to its checkpoint.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.path = Path(args.output_dir, LOSS_LOG)
            self.path.write_text("".join(f"{json.dumps(log)}\n" for log in state.log_history), encoding="utf-8")
            message(f"Training {state.max_steps} steps. The losses are in {self.path}.")
            self.training_bar = tqdm(total=state.max_steps, dynamic_ncols=True, disable=args.disable_tqdm)
        self.current_step = 0

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(state.log_history[-1])}\n")
            if self.training_bar is not None and "loss" in logs:
                self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

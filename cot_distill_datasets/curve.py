"""The loss curve beside a student: `loss.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


CURVE = "loss.png"


def write_loss_curve(log_history: list[dict[str, Any]], student: Path) -> None:
    """Draw the loss of each logged step from the trainer's log."""
    from matplotlib.figure import Figure  # not pyplot, which would look for a screen

    logs = [log for log in log_history if "loss" in log]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([log["step"] for log in logs], [log["loss"] for log in logs])
    axes.set(xlabel="step", ylabel="loss (nats per supervised token)", ylim=(0, None), title=str(student))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(student / CURVE, dpi=150)

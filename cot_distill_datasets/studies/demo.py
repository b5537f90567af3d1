"""`cot-distill demo`: build `arith`, and run the study `demo`: does CoT help the demo student?"""

import os
from importlib import import_module
from pathlib import Path

from ..names import RELEASE_NAME
from ..release.build import build
from ..release.folder import read_release
from .plan import Plan, plan_file


def demo_plan() -> Plan:
    """Return the plan of the study `demo`, after building the embedded data if there is no release."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is generated here
    for library in ("transformers", "ray"):
        import_module(library)  # a missing extra is named before anything is written
    folder = Path(RELEASE_NAME)
    if read_release(folder) is None:
        build(folder)
    return plan_file("demo")

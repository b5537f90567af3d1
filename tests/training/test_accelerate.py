"""The profiles of `accelerate`: its own parser accepts them, and two processes train like one."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from support import ROOT, write_project
from transformers import AutoModelForCausalLM


BIN, SFT = Path(sys.executable).parent, ROOT / "training/sft.py"
# By profile, what the command in its header launches: DDP, FSDP, DeepSpeed; processes, machines.
PROFILES = {
    "cpu": (False, False, False, 1, 1),
    "ddp": (True, False, False, 8, 1),
    "fsdp2": (False, True, False, 4, 1),
    "gpu": (False, False, False, 1, 1),
    "multi_node": (False, True, False, 16, 2),
    "zero3": (False, False, True, 4, 1),
}
RECIPES = sorted((ROOT / "training/recipes").glob("*.yaml"))
STEPS = 20
# One process needs two passes of 4 rows for an effective batch of 8, two processes need one pass each.
TRAINING = (
    f"--max_steps {STEPS} --logging_steps 1 --effective_batch_size 8 --per_device_train_batch_size 4 --max_length 256 "
    "--save_steps 7 --report_to none --log_level info"
)


def _profile(name: str) -> Path:
    return ROOT / f"training/accelerate/{name}.yaml"


def _launch_commands(header: str) -> list[list[str]]:
    """Return the `accelerate launch` commands of a file's header, each as its words."""
    joined = re.sub(r"\\\n#?\s*", "", header)
    return [shlex.split(line) for line in re.findall(r"accelerate launch .*", joined)]


def _parse_launch(words: list[str]) -> Any:
    """Parse a command as `accelerate launch` does before it starts processes."""
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words[2:]))
    return args


def test_every_profile_is_tested() -> None:
    assert sorted(path.stem for path in _profile("cpu").parent.glob("*.yaml")) == sorted(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_accelerate_has_every_key_of_a_profile(name: str) -> None:
    load_config_from_file(str(_profile(name)))  # rejects unknown keys, but not those of a nested mapping
    keys = vars(launch_command_parser().parse_args(["script"]))
    values = yaml.safe_load(_profile(name).read_text())
    assert [key for part in values.values() if isinstance(part, dict) for key in part if key not in keys] == []


@pytest.mark.parametrize("name", PROFILES)
def test_the_command_of_a_profile_launches_its_processes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = _launch_commands(_profile(name).read_text())
    args = _parse_launch(command)
    assert (args.config_file, args.training_script) == (f"training/accelerate/{name}.yaml", "training/sft.py")
    launched = (args.multi_gpu, args.use_fsdp, args.use_deepspeed, args.num_processes, args.num_machines)
    assert launched == PROFILES[name]
    assert args.use_cpu == (name == "cpu")
    assert not args.use_fsdp or args.fsdp_version == 2


def test_fsdp_shards_the_same_on_one_machine_and_on_several() -> None:
    one, several = (yaml.safe_load(_profile(name).read_text()) for name in ("fsdp2", "multi_node"))
    assert one["fsdp_config"] == several["fsdp_config"]  # accelerate cannot include one file in another


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_commands_of_a_recipe_use_it(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = _launch_commands(recipe.read_text())
    assert commands
    for command in commands:
        args = _parse_launch(command)  # raises if a profile does not exist
        assert args.training_script == "training/sft.py"
        passed = dict(zip(args.training_script_args[::2], args.training_script_args[1::2]))
        assert passed.get("--config") == (None if recipe.stem == "demo" else f"training/recipes/{recipe.name}")


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3", "multi_node"])
def test_a_profile_of_many_gpus_needs_their_number(name: str) -> None:
    with pytest.raises(ValueError, match="--num_processes"):
        _parse_launch(["accelerate", "launch", "--config_file", str(_profile(name)), "training/sft.py"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo student after the same steps by one process (`one`) and by two (`ddp`, `fsdp2`).

    The two DDP processes are killed in the second epoch and resume.
    """
    folder = write_project(tmp_path_factory.mktemp("processes"), rows=STEPS * 8 // 2)  # two epochs
    profile = yaml.safe_load(_profile("fsdp2").read_text())
    (folder / "fsdp2.yaml").write_text(yaml.safe_dump(profile | {"use_cpu": True, "num_processes": 2}))
    _train(folder, "one", "accelerate launch")
    _train(folder, "ddp", "torchrun --standalone --nproc_per_node 2", killed_at="checkpoint-14/whole.json")
    _train(folder, "ddp", "torchrun --standalone --nproc_per_node 2")
    _train(folder, "fsdp2", "accelerate launch --config_file fsdp2.yaml --main_process_port 0")
    return folder


def _train(folder: Path, name: str, launcher: str, *, killed_at: str | None = None) -> None:
    program, *options = launcher.split()
    command = [BIN / program, *options, SFT, *TRAINING.split(), "--output_dir", name]
    log, last_file = folder / f"{name}.log", folder / name / (killed_at or "provenance.json")
    deadline = time.monotonic() + 300
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        while process.poll() is None and not last_file.is_file() and time.monotonic() < deadline:
            time.sleep(0.2)
        try:
            process.wait(timeout=0 if killed_at else 20)
        except subprocess.TimeoutExpired:  # gloo may hang at exit, after the student is saved (pytorch#190489)
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:  # not one process group
                child.kill()
            process.wait()
    assert last_file.is_file(), log.read_text()[-3000:]


def _losses(student: Path) -> list[float]:
    state = json.loads((student / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def _world_size(student: Path) -> int:
    return int(json.loads((student / "provenance.json").read_text())["processes"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_have_the_losses_of_one(trained: Path, name: str) -> None:
    assert (_world_size(trained / "one"), _world_size(trained / name)) == (1, 2)
    losses = _losses(trained / "one")
    assert len(losses) == STEPS and losses[-1] < losses[0] - 1
    assert _losses(trained / name) == pytest.approx(losses, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_train_and_save_every_parameter(trained: Path, name: str) -> None:
    saved, untrained = (AutoModelForCausalLM.from_pretrained(trained / f) for f in (name, "runs/demo/untrained"))
    before = dict(untrained.named_parameters())
    after = dict(saved.named_parameters())
    assert {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}
    assert [key for key, value in after.items() if value.equal(before[key])] == []

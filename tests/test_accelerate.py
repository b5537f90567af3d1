"""The profiles of `accelerate`: read by its own loader, and two processes learn what one does."""

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
from transformers import AutoModelForCausalLM

from cot_distill_datasets import arith
from cot_distill_datasets.build import build
from cot_distill_datasets.students import write_untrained_demo


ROOT = Path(__file__).parent.parent
BIN, SFT = Path(sys.executable).parent, ROOT / "training/sft.py"
PROFILES = sorted((ROOT / "training/accelerate").glob("*.yaml"))
RECIPES = sorted((ROOT / "training/recipes").glob("*.yaml"))
FSDP = ("fsdp2", "multi_node")  # accelerate has no include
STEPS = 20
# Effective batches of 8, so two passes of 4 rows by one process and one pass by each of two.
TRAINING = (
    f"--max_steps {STEPS} --logging_steps 1 --effective_batch_size 8 --per_device_train_batch_size 4 --max_length 256 "
    f"--save_steps 7 --report_to none --log_level info"
)


def _launches(text: str) -> list[list[str]]:
    """Return the `accelerate launch` commands of a header, or of a page, as words."""
    joined = re.sub(r"\\\n#?\s*", "", text)
    return [shlex.split(line) for line in re.findall(r"accelerate launch .*", joined)]


def _validated(words: list[str]) -> Any:
    """Parse a command as `accelerate launch` does, up to where it would start processes."""
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words[2:]))
    return args


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_accelerate_knows_every_key_of_a_profile(profile: Path) -> None:
    load_config_from_file(str(profile))  # strict about keys, but not about those within
    known = vars(launch_command_parser().parse_args(["script"]))
    values = yaml.safe_load(profile.read_text())
    assert [key for part in values.values() if isinstance(part, dict) for key in part if key not in known] == []


@pytest.mark.parametrize(
    ("name", "started"),
    [  # by: MULTI_GPU, FSDP, DEEPSPEED; processes of machines
        ("cpu", (False, False, False, 1, 1)),
        ("gpu", (False, False, False, 1, 1)),
        ("ddp", (True, False, False, 8, 1)),
        ("fsdp2", (False, True, False, 4, 1)),
        ("zero3", (False, False, True, 4, 1)),
        ("multi_node", (False, True, False, 16, 2)),
    ],
)
def test_the_command_of_a_profile_starts_what_it_says(
    name: str, started: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = _launches((ROOT / f"training/accelerate/{name}.yaml").read_text())
    args = _validated(command)
    assert Path(args.config_file).stem == name and Path(args.training_script) == Path("training/sft.py")
    assert (args.multi_gpu, args.use_fsdp, args.use_deepspeed, args.num_processes, args.num_machines) == started
    assert args.use_cpu == (name == "cpu")
    assert not args.use_fsdp or args.fsdp_version == 2


def test_every_profile_is_tested() -> None:
    assert [path.stem for path in PROFILES] == ["cpu", "ddp", "fsdp2", "gpu", "multi_node", "zero3"]


def test_fsdp_shards_alike_on_one_machine_and_on_several() -> None:
    one, several = (yaml.safe_load((ROOT / f"training/accelerate/{name}.yaml").read_text()) for name in FSDP)
    assert one["fsdp_config"] == several["fsdp_config"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_commands_of_a_recipe_name_it_and_a_profile_that_exists(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for command in _launches(recipe.read_text()):
        args = _validated(command)
        assert args.training_script == "training/sft.py"
        named = dict(zip(args.training_script_args[::2], args.training_script_args[1::2]))
        assert named.get("--config") == (None if recipe.stem == "demo" else f"training/recipes/{recipe.name}")


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3", "multi_node"])
def test_a_profile_of_many_gpus_asks_how_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="pass in `--num_processes`"):
        _validated(["accelerate", "launch", "--config_file", f"training/accelerate/{name}.yaml", "training/sft.py"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo student, untrained and after the same steps by one process and twice by two.

    The two of DDP are killed in the second epoch, and go on.
    """
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", STEPS * 8 // 2)  # two epochs
        build(folder / "eit/cot-distill")
    write_untrained_demo(folder / "runs/demo/untrained")
    profile = yaml.safe_load((ROOT / "training/accelerate/fsdp2.yaml").read_text())
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
    latest = time.monotonic() + 300
    with log.open("w") as written:
        process = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written)
        while process.poll() is None and not last_file.is_file() and time.monotonic() < latest:
            time.sleep(0.2)
        try:
            process.wait(timeout=0 if killed_at else 20)
        except subprocess.TimeoutExpired:  # gloo may not let a process end, after all is saved (pytorch#190489)
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:  # each has a session
                each.kill()
            process.wait()
    assert last_file.is_file(), log.read_text()[-3000:]


def _losses(student: Path) -> list[float]:
    state = json.loads((student / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def _world_size(student: Path) -> int:
    return int(json.loads((student / "provenance.json").read_text())["processes"])


def test_one_process_is_one(trained: Path) -> None:
    assert _world_size(trained / "one") == 1


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_have_the_losses_of_one(trained: Path, name: str) -> None:
    assert _world_size(trained / name) == 2
    losses = _losses(trained / "one")
    assert len(losses) == STEPS and losses[-1] < losses[0] - 1
    assert _losses(trained / name) == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_save_the_whole_student_and_all_of_it_is_trained(trained: Path, name: str) -> None:
    saved, untrained = (AutoModelForCausalLM.from_pretrained(trained / f) for f in (name, "runs/demo/untrained"))
    before = dict(untrained.named_parameters())
    after = dict(saved.named_parameters())
    assert {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}
    assert [key for key, value in after.items() if value.equal(before[key])] == []

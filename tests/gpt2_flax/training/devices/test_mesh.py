"""`--mesh`: divided training is that of one device, and its checkpoints move."""

import json
import os
import subprocess
import sys

import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.machine import parse_mesh
from gpt2_flax.training.devices.mesh import mesh_of

# Relative: devices sum in another order, in f32, and bf16 rounds the next operands.
LOSS_TOLERANCE = 1e-3
FLAGS = ["--batch-size", "4", "--tokenizer", "bytes", "--eval-every", "3"]

# Trains under each mesh, every run but the first going on with the one before it, and
# prints the losses, and the shares of the parameters that the first device holds.
PROGRAM = """
import json, sys
import jax
from gpt2_flax import run
from gpt2_flax.commands import train, train_result
from gpt2_flax.training import loop

held = []
plain = loop.take_step
def take_step(training, step, state):
    state, row = plain(training, step, state)
    arrays = jax.tree.leaves((state.params, state.opt_state))
    here = sum(x.addressable_shards[0].data.nbytes for x in arrays)
    held.append(here / sum(x.nbytes for x in arrays))
    return state, row
loop.take_step = take_step
train_result.print_sample = lambda *_: None

out, meshes, flags = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
for i, mesh in enumerate(meshes):
    more = ["--resume"] if i else list(flags)
    more += ["--steps", str(9 // len(meshes) * (i + 1)), "--schedule", "constant"]
    assert train.main([*more, "--lr", "0.01", "--mesh", mesh, "--out", out]) == 0
from pathlib import Path
print(json.dumps({"rows": run.read_metrics(Path(out)), "held": held}))
"""


@pytest.fixture
def trained(tiny_flags):
    """A function: what the program prints last, for these meshes and flags."""

    def run_program(out, meshes, *flags):
        command = [sys.executable, "-c", PROGRAM, str(out)]
        done = subprocess.run(
            [*command, " ".join(meshes), *tiny_flags, *FLAGS, *flags],
            env={
                **os.environ,
                "JAX_NPU_BACKEND": "host",
                "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run_program


@pytest.mark.slow
def test_runs_move_between_meshes_and_train_as_on_one_device(trained, tmp_path):
    one = trained(tmp_path / "one", ["data=1"])
    meshes = ["data=4", "data=2,model=2", "data=1"]
    moved = trained(tmp_path / "moved", meshes)
    assert len(one["rows"]) == len(moved["rows"]) == 9 + 4
    for row, expected in zip(moved["rows"], one["rows"]):
        assert row == pytest.approx(expected, rel=LOSS_TOLERANCE)
    assert moved["rows"] != one["rows"]  # they are summed in another order
    whole, divided, whole_again = (moved["held"][i : i + 3] for i in (0, 3, 6))
    assert whole == whole_again == [1] * 3
    # What two devices do not divide stays whole.
    assert all(0.5 <= share < 0.52 for share in divided)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [("--adapter", "dora", "--accumulate", "2"), ("--freeze", "wte")]
)
def test_what_is_trained_in_part_moves_between_meshes_too(trained, tmp_path, flags):
    one = trained(tmp_path / "one", ["data=1"], *flags)
    moved = trained(tmp_path / "moved", ["data=1", "model=4", "data=2,model=2"], *flags)
    assert len(one["rows"]) == len(moved["rows"]) == 9 + 4
    for row, expected in zip(moved["rows"], one["rows"]):
        assert row == pytest.approx(expected, rel=LOSS_TOLERANCE)
    for share in moved["held"][3:6]:
        assert share < 0.5  # most arrays lie in quarters


def test_axes_that_are_left_out_have_one_device():
    assert parse_mesh("model=2") == {"data": 1, "model": 2}
    assert parse_mesh(" data = 3 , model=2") == {"data": 3, "model": 2}
    assert mesh_of(TrainConfig()) is None


@pytest.mark.parametrize("text", ["", "data", "data=0", "data=-1", "rows=2", "data=2;"])
def test_another_form_is_refused(text):
    with pytest.raises(InputError, match="--mesh must be as in data=2,model=1, got"):
        TrainConfig(mesh=text)


def test_too_few_devices_are_an_error_with_the_way_to_more():
    message = r"needs 4096 devices, and JAX has .*count=4096"
    with pytest.raises(InputError, match=message):
        mesh_of(TrainConfig(mesh="data=4096"))

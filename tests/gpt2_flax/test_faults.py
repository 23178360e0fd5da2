"""Training when the NPU fails, on the virtual one: a result, or a way to go on."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax import run, sample, train
from gpt2_flax.config import TrainConfig
from gpt2_flax.data import Split, python_docs
from gpt2_flax.errors import NpuError
from gpt2_flax.model import GPT2Config, init_params, logits_function
from gpt2_flax.train import print_sample
from gpt2_flax.training.optimizer import make_optimizer, make_schedule

STEPS, EVAL_EVERY = 8, 3
LIBRARY = {"JAX_NPU_LIBRARY_DIR"}  # what a process takes over
# Told by the device, so the run is tried again on it.
TOLD = ["timeout", "abort", "error", "evicted"]
# COMPLETED with a wrong result, so the host computes the product.
SILENT = ["garbage", "wrong", "untouched"]

# Where the host computed one product of a few steps: its f32 sums are in another order,
# and a bf16 rounding of the next product hides most of that. Nothing was seen in
# losses; 3e-8 in parameters, where Adam magnifies what is next to nothing.
HOST_LOSS = 1e-6
HOST_PARAMETER = 1e-5
# In a thousand steps such differences grow: where the host computes every product and
# there is no fault, losses are 2e-5 off in 50 steps, and the last validation 0.23 %.
NUM_EARLY, EARLY_LOSS = 50, 1e-4
LATE_LOSS = 0.01
# Of a hundred steps on the way: `xla` and the host's instruction sets, with no fault,
# are up to 1.2 % apart after 300 to 500 steps, and 0.3 % at the end.
MEAN_LOSS = 0.03
MAX_MISTAKES = 4  # before an NPU is unhealthy: kMaxMistakes


@dataclass(frozen=True)
class Training:
    """gpt2_flax's own loop with a model of bytes, whose steps take milliseconds."""

    config: TrainConfig

    def __call__(self, out, resume=False):
        """Trains in `out`; returns the state and the metrics."""
        with jax_npu.backend("sim"):
            arguments = self.model, self.optimizer, self.split, out, resume, False
            first, state = train.begin(self.config, *arguments)
            functions = self.train_step, self.validate
            loop = self.config, out, self.split, *functions, first, state
            _, state = train.loop(*loop)
        state = state._replace(grads=None)  # no state, but memory
        return jax.device_get(state), run.read_metrics(out)

    model = GPT2Config(
        num_layers=1, num_heads=2, embed_dim=16, vocab_size=256, num_positions=24
    )

    @cached_property
    def split(self):
        text = np.frombuffer(python_docs().encode(), np.uint8).astype(np.int32)
        return Split(text[:-20_000], text[-20_000:])

    @cached_property
    def optimizer(self):
        schedule = make_schedule(
            self.config.lr, self.config.warmup_steps, self.config.steps
        )
        return make_optimizer(schedule, self.config.weight_decay, 1.0)

    @cached_property
    def logits(self):
        return logits_function(self.model, jax_npu.dot_general)

    @cached_property
    def train_step(self):
        return train.make_train_step(self.logits, self.optimizer)

    @cached_property
    def validate(self):
        return train.make_validate(self.logits, self.config, self.split)


@pytest.fixture(scope="module")
def training():
    config = TrainConfig(backend="sim", batch_size=2, seq_len=16, warmup_steps=2)
    lengths = {"steps": STEPS, "eval_every": EVAL_EVERY, "eval_batches": 2}
    return Training(replace(config, **lengths))


@pytest.fixture(scope="module")
def always():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NPU_CHECK", "always")
        yield


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def undisturbed(virtual_xrt, always, training, kept, tmp_path):
    """The state and the metrics of a run without faults; `kept` has its calls too."""
    if "undisturbed" not in kept:
        kept["undisturbed"] = training(tmp_path / "undisturbed")
        kept["calls"] = virtual_xrt.calls
    return kept["undisturbed"]


@pytest.fixture
def num_calls(undisturbed, kept):
    """The calls of a run without faults, by kind, a few more or fewer."""
    return kept["calls"]


def assert_same(result, expected):
    jax.tree.map(np.testing.assert_array_equal, result[0], expected[0])
    assert result[1] == expected[1]


@pytest.mark.parametrize("fault", TOLD)
def test_a_run_tried_again_changes_no_bit_of_the_training(
    virtual_xrt, events, training, undisturbed, num_calls, out, fault
):
    virtual_xrt.set_faults(f"{fault}@{num_calls['run'] // 2}")
    assert_same(training(out), undisturbed)
    assert virtual_xrt.faults[fault] == 1
    assert events("retries") >= 1  # others that were submitted with it, too
    assert (events("mismatches"), events("failures")) == (0, 0)


@pytest.mark.parametrize("fault", ["no-memory", "no-context"])
def test_what_the_device_does_not_give_at_first_changes_no_bit_of_the_training(
    virtual_xrt, events, training, undisturbed, num_calls, out, fault
):
    # After a failed run a new context and new buffers are necessary.
    virtual_xrt.set_faults(f"abort@{num_calls['run'] // 2},{fault}@1")
    assert_same(training(out), undisturbed)
    assert virtual_xrt.faults[fault] == 1
    assert (events("mismatches"), events("failures")) == (0, 0)


@pytest.mark.parametrize("fault", SILENT)
def test_a_product_computed_by_the_host_keeps_the_training_close(
    virtual_xrt, events, training, undisturbed, num_calls, out, fault
):
    virtual_xrt.set_faults(f"{fault}@{num_calls['run'] // 2}")
    state, rows = training(out)
    assert virtual_xrt.faults[fault] == 1
    assert (events("mismatches"), events("host_products")) == (1, 1)
    for row, expected in zip(rows, undisturbed[1], strict=True):
        assert row == pytest.approx(expected, rel=HOST_LOSS)
    for param, expected in zip(
        jax.tree.leaves(state.params), jax.tree.leaves(undisturbed[0].params)
    ):
        np.testing.assert_allclose(param, expected, rtol=0, atol=HOST_PARAMETER)
    # The state that is left is the one that was trained.
    assert_same(training(out, resume=True), (state, rows))


def test_without_checks_garbage_trains_something_else(
    virtual_xrt, training, undisturbed, num_calls, out, monkeypatch
):
    """Or the test above would hold whatever the checks do."""
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    virtual_xrt.set_faults(f"garbage@{num_calls['run'] // 2}")
    unchecked = replace(training)  # lowers anew
    try:
        _, rows = unchecked(out)
    except train.DivergedError:
        return
    assert rows[-1] != pytest.approx(undisturbed[1][-1], rel=10 * HOST_LOSS)


@pytest.mark.parametrize("spec", ["untouched@1+", "wrong@1+", "garbage/3"])
def test_training_on_an_npu_that_computes_wrong_ends_as_on_a_healthy_one(
    virtual_xrt, undisturbed_program, program, out, monkeypatch, capfd, spec
):
    """And its last lines say how many results were wrong, and what to do."""
    monkeypatch.setenv("JAX_NPU_CHECK", "sample")
    virtual_xrt.set_faults(f"abort@1,{spec}")  # a new context, and its self-test
    assert program(out) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert "results of the NPU were wrong, and the host computed" in last
    assert "run 'jax-npu doctor'" in last
    healthy = undisturbed_program[1][-1]["val_loss"]
    assert run.read_metrics(out)[-1]["val_loss"] == pytest.approx(healthy, rel=1e-4)


@pytest.mark.parametrize("part", range(8))
def test_a_device_gone_for_good_leaves_what_resumes_bit_for_bit(
    virtual_xrt, training, undisturbed, num_calls, out, part
):
    call = 1 + part * num_calls["call"] // 8
    virtual_xrt.set_faults(f"gone@{call}")
    with pytest.raises(NpuError, match=r"step \d+ failed: xdna_gemm_sim: .*; the NPU"):
        training(out)
    assert virtual_xrt.faults["gone"] == 1
    virtual_xrt.set_faults("")
    rows = run.read_metrics(out)
    assert rows == undisturbed[1][: len(rows)]
    assert_same(training(out, resume=True), undisturbed)


def test_between_validations_time_makes_checkpoints(
    virtual_xrt, training, undisturbed, num_calls, out, monkeypatch
):
    monkeypatch.setattr(train, "CHECKPOINT_MINUTES", 0)
    virtual_xrt.set_faults(f"gone@{num_calls['call'] // 2}")
    with pytest.raises(NpuError, match=r"step 5 failed"):
        training(out)
    virtual_xrt.set_faults("")
    assert run.latest_step(out) == 4
    assert_same(training(out, resume=True), undisturbed)


def test_parameters_that_became_infinite_are_not_saved(
    training, always, out, monkeypatch
):
    def explodes_in_step_2(count):
        return jnp.where(count < 1, 1e-3, jnp.inf)

    monkeypatch.setattr(train, "CHECKPOINT_MINUTES", 0)
    optimizer = make_optimizer(explodes_in_step_2, 0.1, 1.0)
    monkeypatch.setattr(Training, "optimizer", optimizer)
    message = "largest parameter became .* in step 2, .* checkpoint of step 1 is kept"
    with pytest.raises(train.DivergedError, match=message):
        replace(training)(out)
    assert run.latest_step(out) == 1


# The program without the sample after training, which takes longer than that.
PROGRAM = """
import sys
from gpt2_flax import train
train.print_sample = lambda *_: None
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def program(tiny_flags, always):
    """`program(out, *flags)` trains through the command line's own door."""
    sizes = [*tiny_flags, "--steps", "4", "--eval-every", "2", "--backend", "sim"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "print_sample", lambda *_: None)
        yield lambda out, *flags: train.main([*sizes, "--out", str(out), *flags])


@pytest.fixture
def process(tiny_flags):
    """The same in a process of its own, with more in its environment."""
    sizes = [*tiny_flags, "--steps", "4", "--eval-every", "2", "--backend", "sim"]

    def process(out, *flags, program=PROGRAM, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NPU_")}
        kept = {k: os.environ[k] for k in LIBRARY & os.environ.keys()}
        return subprocess.run(
            [sys.executable, "-c", program, *sizes, "--out", str(out), *flags],
            env={**clean, **kept, "JAX_NPU_CHECK": "always", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return process


@pytest.fixture
def undisturbed_program(virtual_xrt, program, kept, tmp_path):
    if "program" not in kept:
        out = tmp_path / "undisturbed"
        assert program(out) == 0
        kept["program"], kept["num_calls"] = saved(out), virtual_xrt.calls["call"]
    return kept["program"]


@pytest.fixture
def num_calls_of_program(undisturbed_program, kept):
    return kept["num_calls"]


def saved(out):
    """The state in the newest checkpoint, and the metrics."""
    model = GPT2Config(**run.read_run(out)["model"])
    optimizer = make_optimizer(make_schedule(1, 1, 1), 0.1, 1.0)

    def initial_state():
        params = init_params(model, 0)
        return {"params": params, "opt_state": optimizer.init(params)}

    return run.restore_checkpoint(out, jax.eval_shape(initial_state)), (
        run.read_metrics(out)
    )


def lines_of_program(errors):
    assert "Traceback" not in errors
    return [line for line in errors.splitlines() if line.startswith("gpt2-flax: ")]


def test_the_program_says_in_one_line_what_failed_and_how_to_go_on(
    virtual_xrt, undisturbed_program, num_calls_of_program, program, out, capfd
):
    virtual_xrt.set_faults(f"gone@{num_calls_of_program * 6 // 10}")
    assert program(out) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    step = run.latest_step(out)
    assert re.match(r"gpt2-flax: (the validation of )?step [34] failed: xdna_g", line)
    assert "the NPU is gone; reload its driver with 'sudo modprobe" in line
    assert f"The checkpoint of step {step} is kept; to go on: gpt2-flax train" in line
    assert (out / "loss.png").exists()

    commands = re.findall(r"gpt2-flax train .*? --resume(?: --backend \w+)?", line)
    on_sim, on_host = (shlex.split(command)[2:] for command in commands)
    shutil.copytree(out, spare := out.with_name("spare"))
    virtual_xrt.set_faults("")
    assert train.main(on_sim) == 0
    assert_same(saved(out), undisturbed_program)

    shutil.rmtree(out)
    spare.rename(out)
    virtual_xrt.set_faults("gone@1")
    assert train.main(on_host) == 0
    said = f"After step {step} matmuls run on host, no longer on sim"
    assert said in capfd.readouterr().out
    change = {"after_step": step, "from": "sim", "to": "host"}
    assert run.read_run(out)["backend_changes"] == [change]
    last = run.read_metrics(out)[-1]
    assert last == pytest.approx(undisturbed_program[1][-1], rel=HOST_LOSS)
    assert run.read_run(out)["train"]["backend"] == "host"


def test_before_the_first_checkpoint_the_way_on_is_from_the_start(
    virtual_xrt, undisturbed_program, program, out, capfd
):
    virtual_xrt.set_faults("gone@1")
    assert program(out) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    command = f"gpt2-flax train --out {out} --resume"
    assert f"No step is saved yet; to begin again at the first: {command}" in line
    virtual_xrt.set_faults("")
    assert train.main(shlex.split(command)[2:]) == 0
    assert_same(saved(out), undisturbed_program)


def test_a_sample_that_fails_leaves_a_finished_run(
    virtual_xrt, undisturbed_program, program, out, capfd, monkeypatch
):
    def print_sample_without_device(*args):
        virtual_xrt.set_faults("gone@1")
        print_sample(*args)

    monkeypatch.setattr(train, "print_sample", print_sample_without_device)
    assert program(out) == 1
    assert_same(saved(out), undisturbed_program)
    (line,) = lines_of_program(capfd.readouterr().err)
    assert f"training is done and saved in {out}, but its sample failed: xdna_" in line
    assert sample.main(["--out", str(out), "--backend", "sim"]) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    assert line.startswith("gpt2-flax: a product failed: xdna_gemm_sim: ")


def test_killed_after_a_checkpoint_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out
):
    call = num_calls_of_program * 7 // 10
    done = process(out, JAX_NPU_SIM_FAULTS=f"kill@{call}")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.latest_step(out) == 2
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


def test_a_run_that_never_ends_changes_no_bit_of_the_training(
    undisturbed_program, process, out
):
    # 2 s are long for any run of this model.
    done = process(out, JAX_NPU_SIM_FAULTS="stuck@30", JAX_NPU_WATCHDOG_SECONDS="2")
    assert done.returncode == 0, done.stderr
    assert "TIMEOUT" in done.stderr
    assert_same(saved(out), undisturbed_program)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out
):
    for flags, share in [((), 0.1), (("--resume",), 0.7), (("--resume",), 0.1)]:
        call = int(share * num_calls_of_program)
        done = process(out, *flags, JAX_NPU_SIM_FAULTS=f"kill@{call}")
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.latest_step(out) == 2
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out, seed
):
    limit = num_calls_of_program if seed else num_calls_of_program // 9  # first step
    call = int(np.random.default_rng(seed).integers(1, limit))
    done = process(out, JAX_NPU_SIM_FAULTS=f"kill@{call}")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


KILLED_WHILE_SAVING = """
import os, signal, threading
from gpt2_flax import run
save, wait = run.save_checkpoint, float(os.environ["SECONDS_BEFORE_KILL"])
def save_and_die(checkpoints, step, items):
    if step == 4:
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(wait, kill).start() if wait else kill()
    save(checkpoints, step, items)
run.save_checkpoint = save_and_die
"""


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 10, 20, 30, 45, 60, 80, 100])
def test_killed_while_it_saves_it_ends_with_the_same_bits(
    undisturbed_program, program, process, out, milliseconds
):
    seconds = str(milliseconds / 1000)
    killed = KILLED_WHILE_SAVING + PROGRAM
    done = process(out, program=killed, SECONDS_BEFORE_KILL=seconds)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


@pytest.fixture(scope="module")
def thousand_steps(always):
    config = TrainConfig(backend="sim", steps=1000, eval_every=100, seed=3)
    return Training(replace(config, batch_size=4, seq_len=24))


@pytest.fixture(scope="module")
def two_steps(thousand_steps):
    return Training(replace(thousand_steps.config, steps=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "is_exact"),
    [("run/20,seed=1", False), ("timeout/60,abort/60,evicted/60,seed=1", True)],
)
def test_a_thousand_steps_with_a_fault_in_each_20_runs_reach_the_same_loss(
    virtual_xrt, events, thousand_steps, two_steps, kept, tmp_path, spec, is_exact
):
    if "thousand" not in kept:
        kept["thousand"] = thousand_steps(tmp_path / "clean")
    clean = kept["thousand"]
    two_steps(tmp_path / "before")
    alive, threads = alive_now(virtual_xrt), num_threads()
    before = {name: events(name) for name in jax_npu.npu_events()}

    virtual_xrt.set_faults(spec)
    disturbed = thousand_steps(tmp_path / "disturbed")
    faults, calls = virtual_xrt.faults, virtual_xrt.calls
    told = sum(faults[name] for name in TOLD)
    silent = sum(faults[name] for name in SILENT)
    seen = {name: events(name) - count for name, count in before.items()}
    print(faults, calls, seen, losses(clean)[-1], losses(disturbed)[-1])

    if is_exact:
        assert_same(disturbed, clean)
    gap = np.abs(losses(disturbed) / losses(clean) - 1)
    assert gap[:NUM_EARLY].max() <= EARLY_LOSS
    assert gap[-1] <= LATE_LOSS  # of the last validation
    means = [losses(r)[:-1].reshape(10, 100).mean(1) for r in (disturbed, clean)]
    np.testing.assert_allclose(*means, rtol=MEAN_LOSS)

    # A run submitted after one that failed in its command is not begun.
    assert 0.9 * calls["run"] / 20 <= told + silent <= calls["run"] / 20 + 3
    # Several wrong results, and the host computes the rest.
    assert seen["unhealthy"] == (silent > 0)
    assert seen["mismatches"] == (MAX_MISTAKES if silent else 0)
    assert (seen["host_products"] > 0.9 * seen["products"]) == (silent > 0)
    # All runs of a command that failed are tried again.
    assert told <= seen["retries"] <= 2 * told
    assert seen["failures"] == 0
    virtual_xrt.set_faults("")
    two_steps(tmp_path / "after")
    contexts, buffers = alive_now(virtual_xrt)
    assert contexts == (0 if silent else alive[0])  # an unhealthy NPU has none
    # How many are idle depends on how many products were at work at a time; the faults
    # were a thousand.
    assert buffers <= alive[1] + 50
    # XLA's pools start threads late, at most one a core; the faults were a thousand.
    assert num_threads() <= threads + os.cpu_count()


def losses(result):
    """Of training, in steps, and the last of validation."""
    rows = result[1]
    last = [row["val_loss"] for row in rows if "val_loss" in row][-1]
    return np.array([row["loss"] for row in rows if "loss" in row] + [last])


def alive_now(virtual_xrt):
    return virtual_xrt.num_contexts, virtual_xrt.num_buffers


def num_threads():
    return len(os.listdir("/proc/self/task"))

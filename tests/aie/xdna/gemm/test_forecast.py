"""The closed form of a plan's time agrees with the virtual NPU within 10 %."""

import random

import pytest

from xdna.gemm.array import GemmArray, default_array
from xdna.gemm.forecast import forecast
from xdna.gemm.tiling import make_plan
from xdna.machines import MACHINES
from xdna.simulator.timed_run import TimedArray
from xdna.timing import COMPILERS, timing

LARGEST_ERROR = 0.10
# Row-major slices of four k tiles: cores wait for slots as large as that, which the
# closed form does not know.
LARGEST_ERROR_OF_LONG_SLICES = 0.11
MEAN_ERROR = 0.03
# Some of a step's of GPT-2 124M with 4 x 64 and 1,024 tokens; `test_search.py` has all
# of the former's.
SHAPES = [
    (256, 768, 2304),
    (256, 3072, 768),
    (768, 256, 768),
    (3072, 256, 768),
    (1024, 768, 768),
    (768, 1024, 2304),
]


@pytest.mark.parametrize("name", ["7940hs", "krackan-350"])
def test_gpt2s_products_on_the_papers_and_the_best_design(name):
    machine = MACHINES[name]
    times = timing(machine.device, machine)
    arithmetic = {"npu1": "exact", "npu2": "bfp16"}[machine.device]
    for array in GemmArray(machine.device), default_array(machine.device):
        npu = TimedArray(array, times, arithmetic)
        for sizes in SHAPES:
            plan = make_plan(array, 1, *sizes)
            found = forecast(plan, times, arithmetic).seconds / npu.seconds(plan) - 1
            assert abs(found) <= LARGEST_ERROR, (array, sizes)


def random_design(rng, device):
    while True:
        fields = {
            "images": rng.choice(["rows", "packed_b", "tiles", "tiles"]),
            "out": rng.choice(["float32", "float32", "bfloat16"]),
            "c_buffers": rng.choice([0, 1]),
        }
        if fields["images"] == "tiles":
            m, k, n = 64, rng.choice([32, 64, 96, 128]), rng.choice([32, 64, 96])
            parts, resident = rng.choice([1, 4]), rng.choice(["", *"ab"])
            fields |= {"parts": parts, "resident": resident}
        else:
            m, k, n = rng.choice([32, 64]), rng.choice([32, 56]), rng.choice([32, 96])
            fields["k_slice"] = k * rng.choice([1, 1, 2, 4])
        try:
            return GemmArray(device, m, k, n, **fields)
        except ValueError:  # it does not fit
            continue


def random_error(rng):
    machine = rng.choice(list(MACHINES.values()))
    array, compiler = random_design(rng, machine.device), rng.choice(COMPILERS)
    sizes = rng.choice(SHAPES)
    if rng.random() < 0.5:
        sizes = [int(2 ** rng.uniform(5, 11)) for _ in range(3)]
    arithmetic = "exact" if machine.device == "npu1" else rng.choice(["exact", "bfp16"])
    orders = rng.choice(["mk", "km"]), rng.choice(["kn", "nk"])
    times = timing(array.device_name, machine, compiler)
    plan = make_plan(array, 1, *sizes, *orders)
    simulated = TimedArray(array, times, arithmetic).seconds(plan)
    found = forecast(plan, times, arithmetic).seconds / simulated - 1
    return abs(found), (machine.name, compiler, arithmetic, array, sizes, orders)


def check(seed, count):
    rng = random.Random(seed)
    errors = [random_error(rng) for _ in range(count)]
    for error, what in errors:
        array = what[3]
        is_long = not array.is_tiled and array.slice_k == 4 * array.k
        largest = LARGEST_ERROR_OF_LONG_SLICES if is_long else LARGEST_ERROR
        assert error <= largest, what
    assert sum(one for one, _ in errors) / count <= MEAN_ERROR


def test_random_products_designs_and_machines():
    check(seed=1, count=6)


@pytest.mark.slow
def test_200_random_products_designs_and_machines():
    check(seed=2, count=200)


def test_designs_are_ordered_as_on_the_virtual_npu():
    """64 x 64 x 32 is faster than 64 x 64 x 64 where C's transfer shows."""
    machine, sizes = MACHINES["8700g"], (50304, 256, 768)
    times = timing("npu1", machine)
    seconds = {}
    for n in 32, 64:
        array = GemmArray("npu1", 64, 64, n)
        plan = make_plan(array, 1, *sizes)
        seconds[n] = (
            forecast(plan, times).seconds,
            TimedArray(array, times).seconds(plan),
        )
    ways = {seconds[32][i] < seconds[64][i] for i in (0, 1)}
    assert len(ways) == 1

"""The times of the virtual NPU, compared with published figures."""

import pytest

from xdna.machines import MACHINES
from xdna.timing import COMPILERS, PEANO_INNER_EFFICIENCY, timing


def test_the_first_columns_are_as_fast_as_the_whole():
    assert timing("npu1_2col") == timing("npu1")
    assert timing("npu2_5col") == timing("npu2") != timing("npu1")
    with pytest.raises(ValueError, match="npu3"):
        timing("npu3")


def test_a_machine_decides_clock_ddr_and_launch_alone():
    fast, slow = (timing("npu1", MACHINES[name]) for name in ("8700g", "7940hs"))
    assert (fast.clock_hz, slow.clock_hz) == (1.8e9, 1.0e9)
    assert fast.ddr_bytes_per_second == MACHINES["8700g"].ddr_bytes_per_second
    assert fast.shim_mm2s_first_task == slow.shim_mm2s_first_task
    with pytest.raises(ValueError, match="hx370 has an npu2, and times of an npu1"):
        timing("npu1", MACHINES["hx370"])


def test_a_compiler_decides_kernels_alone():
    peano, xchesscc = (timing("npu1", compiler=name) for name in COMPILERS)
    assert peano.matmul_exact_mkn > xchesscc.matmul_exact_mkn == 1 / 128
    assert peano.launch == xchesscc.launch
    with pytest.raises(ValueError, match="one of peano, xchesscc, got 'gcc'"):
        timing("npu1", compiler="gcc")


def test_an_empty_dispatch_of_npu2_takes_the_published_time():
    times = timing("npu2")
    floor = times.launch_seconds + (times.launch + times.first_sync) / times.clock_hz
    assert 107e-6 <= floor <= 116e-6


def macs_per_cycle(times, arithmetic, m, k, n, c_share):
    """The rate of C (m, n) += A B, with `c_share` of f32's time to load and store C."""
    mkn, mn = (getattr(times, f"matmul_{arithmetic}_{part}") for part in ("mkn", "mn"))
    return m * k * n / (mkn * m * k * n + c_share * mn * m * n)


@pytest.mark.parametrize(
    ("device", "arithmetic", "m", "k", "n", "published"),
    [
        ("npu1", "exact", 64, 104, 64, 112.6),
        ("npu1", "exact", 96, 56, 96, 99.8),
        ("npu1", "exact", 96, 48, 112, 97.3),
        ("npu2", "bfp16", 48, 152, 48, 158.1),
        ("npu2", "bfp16", 112, 48, 96, 137.2),
        ("npu2", "bfp16", 160, 40, 80, 124.1),
    ],
)
def test_kernels_by_xchesscc_are_as_fast_as_published(
    device, arithmetic, m, k, n, published
):
    """Published with C in bf16: arXiv 2512.13282, tables 1 to 3."""
    times = timing(device, compiler="xchesscc")
    rate = macs_per_cycle(times, arithmetic, m, k, n, c_share=0.5)
    assert rate == pytest.approx(published, rel=0.07)


@pytest.mark.parametrize(
    ("m", "k", "n", "published"),
    [(64, 64, 64, 1576), (32, 64, 64, 832), (32, 32, 64, 590)],
)
def test_bfp16_kernels_by_peano_take_the_published_cycles(m, k, n, published):
    cycles = m * k * n / macs_per_cycle(timing("npu2"), "bfp16", m, k, n, c_share=1)
    assert cycles == pytest.approx(published, rel=0.07)


def test_kernels_by_peano_reach_the_published_shares_of_the_peak():
    """Published: 37.7 % for 64 x 64 x 64, about 51 % where k slices have 512."""
    times = timing("npu1")
    short = macs_per_cycle(times, "exact", 64, 64, 64, c_share=1) / 128
    long = macs_per_cycle(times, "exact", 32, 512, 64, c_share=1) / 128
    assert short == pytest.approx(0.377, rel=0.13)  # fitted to whole GEMMs: 0.42
    assert long == pytest.approx(0.51, rel=0.02)
    assert short < long < PEANO_INNER_EFFICIENCY

"""The times of the virtual NPU, compared with published figures."""

import pytest

from xdna.timing import timing


def test_the_first_columns_are_as_fast_as_the_whole():
    assert timing("npu1_2col") == timing("npu1")
    assert timing("npu2_5col") == timing("npu2") != timing("npu1")
    with pytest.raises(ValueError, match="npu3"):
        timing("npu3")


def test_npu2s_times_make_the_measured_figures():
    # Published: DDR 37 and 10 GB/s in runs of 128 and 16 bytes; dispatch 107-116 us.
    times = timing("npu2")
    for run, measured in ((128, 37e9), (16, 10e9)):
        rate = times.ddr_bytes_per_second * run / (run + times.ddr_run_overhead_bytes)
        assert rate == pytest.approx(measured, rel=0.03)
    floor = times.launch_seconds + (times.launch + times.first_sync) / times.clock_hz
    assert 107e-6 <= floor <= 116e-6
    for (m, k, n), cycles in (
        ((64, 64, 64), 1576),
        ((32, 64, 64), 832),
        ((32, 32, 64), 590),
    ):
        model = times.matmul_bfp16_mkn * m * k * n + times.matmul_bfp16_mn * m * n
        assert model == pytest.approx(cycles, rel=0.07)

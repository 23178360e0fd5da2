"""Kernels in C++ run in the virtual cores: our own sources, and a user's."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from xdna.simulator import Trap, VirtualNpu
from xdna.simulator.compiled import Given, compiled_kernels

BF16 = ml_dtypes.bfloat16
MATMUL = Path(__file__).parents[3] / "aie/kernels/matmul.cc"
TILE = ["-DDIM_M=16", "-DDIM_K=8", "-DDIM_N=16"]

SCALE = """
#include <aie_api/aie.hpp>

extern "C" void scale_bf16(const bfloat16* in, bfloat16* out) {  // doubles
  for (int i = 0; i < 128; ++i) {
    const float x = aie::host::Bits<float>(std::uint32_t{in[i].bits} << 16);
    out[i].bits = aie::host::Bits<std::uint32_t>(2 * x) >> 16;
  }
}
"""


@pytest.fixture
def source(tmp_path):
    def write(text):
        path = tmp_path / "kernels.cc"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("device", "arithmetic", "flags"),
    [
        ("npu1", "exact", []),
        ("npu2", "exact", ["-DMMUL_8X8X8"]),
        ("npu2", "bfp16_floor", ["-DMMUL_8X8X8"]),
    ],
)
def test_matmul_cc_gives_the_built_in_kernels_bits_and_times(
    make_gemm, rng, device, arithmetic, flags
):
    gemm = make_gemm(device, (1, 64, 24, 64))
    a, b = (
        rng.standard_normal(shape).astype(BF16) * BF16(1e3)
        for shape in (gemm.a_shape, gemm.b_shape)
    )
    found = compiled_kernels(MATMUL, gemm.configuration, arithmetic, [*TILE, *flags])
    assert [kernel.name for kernel in found.kernels] == ["matmul_bf16_f32"]
    assert not found.assumed
    results, reports = [], []
    for kernels in (), found.kernels:
        npu = VirtualNpu(gemm.configuration, arithmetic, kernels=kernels)
        buffers = gemm.buffers(a, b)
        reports.append(npu.run(gemm.words, buffers))
        results.append(buffers[2].tobytes())
    assert results[0] == results[1]
    assert reports[0] == reports[1]


def test_a_users_kernel_runs_in_the_loop(
    source, sample_configuration, sample_words, sample_buffers, scale
):
    found = compiled_kernels(source(SCALE), sample_configuration)
    assert found.assumed == ("scale_bf16",)
    (kernel,) = found.kernels
    assert kernel.accesses == "rw"
    assert kernel.cycles == 8  # 256 bytes written, 32 a cycle
    expected = [one.copy() for one in sample_buffers]
    VirtualNpu(sample_configuration, kernels=[scale]).run(sample_words, expected)
    npu = VirtualNpu(sample_configuration, kernels=found.kernels)
    npu.run(sample_words, sample_buffers)
    assert sample_buffers[1].tobytes() == expected[1].tobytes()
    given = {"scale_bf16": Given(77, "rb")}
    (kernel,) = compiled_kernels(
        source(SCALE), sample_configuration, given=given
    ).kernels
    assert (kernel.cycles, kernel.accesses) == (77, "rb")


def test_sums_in_memory_that_nothing_has_written_are_nan(
    source, sample_configuration, sample_words, sample_buffers
):
    sum = "2 * x + aie::host::Bits<float>(std::uint32_t{out[i].bits} << 16)"
    adds = SCALE.replace("2 * x", sum)
    found = compiled_kernels(source(adds), sample_configuration)
    npu = VirtualNpu(sample_configuration, kernels=found.kernels)
    npu.run(sample_words, sample_buffers)
    assert np.isnan(sample_buffers[1].astype(np.float32)).any()
    given = {"scale_bf16": Given(9, "rb")}  # says the truth, which is a trap
    found = compiled_kernels(source(adds), sample_configuration, given=given)
    npu = VirtualNpu(sample_configuration, kernels=found.kernels)
    with pytest.raises(Trap, match=r"reads byte 0 of buffer .* nothing has written"):
        npu.run(sample_words, sample_buffers)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("void scale_bf16(", {}, r"kernels\.cc does not compile for the host: .*error"),
        (
            "#include <aie_api/aie.hpp>\nint x = aie::add(1);",
            {},
            "not a member of .aie.; the header .* or the kernel in Python",
        ),
        (
            'extern "C" void other() {}',
            {},
            'none of the kernels that the design calls, as extern "C": scale_bf16',
        ),
        (
            'extern "C" void scale_bf16(int a, int* b) {}',
            {},
            "no definition of scale_bf16 with 2 parameters as the design calls it",
        ),
        (SCALE, {"scal": Given(1)}, "the design calls scale_bf16, not scal"),
    ],
)
def test_what_cannot_be_a_kernel_is_one_line(
    source, sample_configuration, text, given, message
):
    with pytest.raises(ValueError, match=message) as error:
        compiled_kernels(source(text), sample_configuration, given=given)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="kernels in C\\+\\+ compute exact, fast on"):
        compiled_kernels(source(text), sample_configuration, "bfp16")

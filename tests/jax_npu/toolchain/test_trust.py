"""A built design is trusted once its self-test has passed on the chip that is there."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jax_npu.doctor import installation
from jax_npu.lowering.settings import _settings, current_settings
from jax_npu.report import acceptance, machine_record
from jax_npu.runtime import designs
from jax_npu.runtime.attached_npus import Device
from jax_npu.runtime.npu_events import NpuHealth
from xdna.gemm.artifact import describe, self_test_record, write_artifact

CHIP = Device("RyzenAI-npu1", "npu1", "0000:c5:00.1", "2.25.0", "1.5.2", "sysfs")


@pytest.fixture
def chip(monkeypatch):
    """A function that attaches another chip."""

    def attach(device):
        monkeypatch.setattr(designs, "devices", lambda: (device,))

    attach(CHIP)
    return attach


@pytest.fixture
def design(tmp_path, monkeypatch, chip):
    """A folder with a built design for npu1, which is found."""
    array = designs.gemm_array("npu1")
    (tmp_path / "gemm.xclbin").write_bytes(b"xclbin2 of a test")
    versions = {"mlir-aie": "1.4.2", "peano": "clang", "llvm-aie": "21.0"}
    write_artifact(tmp_path, describe(array, b"xclbin2 of a test", versions))
    monkeypatch.setenv("JAX_NPU_DESIGN", str(tmp_path))
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    monkeypatch.setenv("JAX_NPU_DEVICE", "npu1")
    for function in (designs._built_design, _settings):
        function.cache_clear()
    yield tmp_path
    for function in (designs._built_design, _settings):
        function.cache_clear()


def test_results_go_unchecked_only_after_the_self_test(design, chip, monkeypatch):
    refusal = (
        r"^JAX_NPU_CHECK=off needs a design whose self-test has passed on this chip "
        r"\(RyzenAI-npu1, driver 2\.25\.0, firmware 1\.5\.2\), and it has not; unset "
        r"JAX_NPU_CHECK and run: jax-npu doctor --backend npu$"
    )
    with pytest.raises(ValueError, match=refusal):
        current_settings("npu")
    assert current_settings("sim").check == "off"
    monkeypatch.setenv("JAX_NPU_CHECK", "sample")  # whose contexts test themselves
    assert current_settings("npu").check == "sample"
    designs.trust_design("npu1", "f32")
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    assert current_settings("npu").check == "off"


@pytest.mark.parametrize(
    "change", [{"firmware": "1.5.3"}, {"driver": "2.26.0"}, {"name": "RyzenAI-npu4"}]
)
def test_another_driver_firmware_or_chip_is_to_be_tested_again(design, chip, change):
    designs.trust_design("npu1", "f32")
    designs.require_trusted("npu1")
    chip(replace(CHIP, **change))
    with pytest.raises(ValueError, match=r"and it has on RyzenAI-npu1, driver 2\.25"):
        designs.require_trusted("npu1")


@pytest.mark.parametrize("damage", ["xclbin", "record", "none"])
def test_a_record_is_of_one_xclbin(design, damage):
    designs.trust_design("npu1", "f32")
    assert self_test_record(design)["arithmetic"] == "f32"
    if damage == "xclbin":
        (design / "gemm.xclbin").write_bytes(b"another")
    elif damage == "record":
        (design / "self-test.json").write_text("[" * 9999)
    else:
        (design / "self-test.json").unlink()
    assert self_test_record(design) is None


def test_without_a_design_here_a_program_may_be_lowered(design, monkeypatch):
    monkeypatch.setenv("JAX_NPU_DESIGN", str(design / "none"))
    designs.require_trusted("npu1")


class Product:
    def block_until_ready(self):
        return self


def health(problem):
    fields = dict.fromkeys(NpuHealth.__dataclass_fields__, 0)
    made = {"self_tests": 1, "self_test_problem": problem, "arithmetic": "f32"}
    return {"npu": NpuHealth(**{**fields, "problem": "", **made})}


@pytest.mark.parametrize("problem", ["", "row 3 is wrong"])
def test_doctor_and_report_record_a_pass_and_no_failure(design, problem, monkeypatch):
    monkeypatch.setattr(installation, "matmul", lambda *_, backend: Product())
    monkeypatch.setattr(installation, "npu_health", lambda: health(problem))
    part = installation._self_test("npu")
    assert bool(part.problem) == bool(problem)
    assert (self_test_record(design) is None) == bool(problem)
    (design / "self-test.json").unlink(missing_ok=True)

    monkeypatch.setattr(acceptance, "checked", lambda *_: None)
    monkeypatch.setattr(acceptance.jax_npu, "npu_health", lambda: health(problem))
    outcome = acceptance.self_test("npu", None)
    assert bool(outcome.problems) == bool(problem)
    assert (self_test_record(design) is None) == bool(problem)


def test_the_report_holds_both_tools_and_the_self_test(design):
    facts = SimpleNamespace(machine=SimpleNamespace(npu=CHIP))
    described = machine_record.describe_design(facts)
    assert described["versions"]["mlir-aie"] == "1.4.2"
    assert described["versions"]["llvm-aie"] == "21.0"
    assert described["self_test"] is None
    designs.trust_design("npu1", "f32")
    described = machine_record.describe_design(facts)
    assert described["self_test"]["chip"].startswith("RyzenAI-npu1, driver 2.25.0")
    assert json.dumps(described["self_test"])

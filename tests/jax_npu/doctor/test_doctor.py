"""The doctor finds each fault of a machine, and names the command that fixes it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

import jax_npu
from jax_npu.backend_choice import Backend
from jax_npu.commands import doctor as doctor_command
from jax_npu.commands.command_line import main
from jax_npu.doctor import facts
from jax_npu.doctor.diagnosis import Facts, diagnose
from jax_npu.doctor.installation import Part, inspect_installation
from jax_npu.doctor.kernel import read_kernel
from jax_npu.doctor.machine_checks import check_energy, check_group
from jax_npu.doctor.software import Interpreter, find_software
from jax_npu.energy import Available, NotMeasured, available
from jax_npu.energy.rapl import READABLE
from jax_npu.runtime import machine
from jax_npu.runtime.machine import Node, examine

from .. import machines
from ..machines import ADA, ADA_IN_RENDER, COMPLETE, NPU1, NPU2, PYTHON

ALL = [
    *("chip", "kernel", "driver", "iommu", "firmware"),
    *("device file", "group", "memlock"),
    *("xrt", "xrt plugin", "pyxrt", "npu library"),
    *("mlir-aie", "peano", "xclbinutil", "design", "xla ffi", "cpu", "energy"),
]
JOIN = "sudo usermod -aG render ada  # then log out and in"
MEMLOCK = (
    "echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/99-amdxdna.conf"
    "  # then log out and in"
)
RELOAD = "sudo modprobe -r amdxdna; sudo modprobe amdxdna"
README = "see https://github.com/amd/xdna-driver#readme"


def examined(
    root,
    user=ADA_IN_RENDER,
    installation=COMPLETE,
    backend="npu",
    known=None,
    python=PYTHON,
):
    software = find_software(python, root)
    energy = available(root)
    kernel = read_kernel(root)
    facts = Facts(examine(root), user, software, python, energy, installation, kernel)
    return diagnose(facts, backend, known)


def by_status(diagnosis, status):
    return {one.name: one.remedy for one in diagnosis.checks if one.status == status}


def found(diagnosis, name):
    return next(one.found for one in diagnosis.checks if one.name == name)


def assert_only(diagnosis, missing=None, warning=None, skipped=()):
    """Checks that these lines have these remedies, and that every other line is ok."""
    missing, warning = missing or {}, warning or {}
    assert by_status(diagnosis, "missing") == missing
    assert by_status(diagnosis, "warning") == warning
    assert set(by_status(diagnosis, "skipped")) == set(skipped)
    others = [n for n in ALL if n not in {*missing, *warning, *skipped}]
    assert list(by_status(diagnosis, "ok")) == others
    assert diagnosis.can_run == (not missing)
    if missing:
        first = next(iter(missing.values()))
        assert diagnosis.verdict == f"backend npu cannot run: first do: {first}"
    else:
        assert diagnosis.verdict == "backend npu can run"


@pytest.fixture
def npu1(tmp_path):
    return machines.fine(tmp_path, NPU1)


@pytest.mark.parametrize(
    ("chip", "kind", "name"),
    [(NPU1, "npu1", "Phoenix / Hawk Point"), (NPU2, "npu2", "Strix")]
    + [
        ({**NPU2, "revision": revision}, "npu2", name)
        for revision, name in [("0x11", "Strix Halo"), ("0x20", "Krackan")]
    ],
)
def test_a_complete_machine_runs_and_its_chip_is_named(tmp_path, chip, kind, name):
    diagnosis = examined(machines.fine(tmp_path, chip))
    assert_only(diagnosis)
    assert found(diagnosis, "chip").startswith(
        f"{kind}, {name}, 1022:{chip['device'][2:]}"
    )
    assert chip["address"] in found(diagnosis, "chip")
    assert found(diagnosis, "firmware") == "1.5.5.391, running"
    assert found(diagnosis, "xrt") == "2.25.0 in /usr/lib/x86_64-linux-gnu"
    assert machine.chip(tmp_path) == kind


def test_without_a_chip_nothing_else_needs_fixing(npu1):
    (npu1 / machines.pci_folder(NPU1) / "device").write_text("0x9999\n")
    machines.without_xrt(npu1)
    diagnosis = examined(npu1)
    assert_only(
        diagnosis,
        missing={"chip": "sudo systemctl reboot --firmware-setup"},
        skipped=["driver", "firmware", "xrt", "xrt plugin", "pyxrt", "xclbinutil"],
    )
    assert machine.chip(npu1) is None


def test_another_makers_cpu_is_not_sent_to_the_bios(npu1):
    (npu1 / machines.pci_folder(NPU1) / "vendor").write_text("0x8086\n")
    machines.write(npu1, "proc/cpuinfo", "vendor_id : GenuineIntel\nflags : avx2\n")
    remedies = by_status(examined(npu1), "missing")
    assert remedies == {"chip": "export JAX_NPU_BACKEND=host"}


@pytest.mark.parametrize(
    ("distribution", "version", "remedy"),
    [
        ("debian", "13", "sudo apt install -t trixie-backports linux-image-amd64"),
        ("ubuntu", "24.04", "sudo apt install linux-generic-hwe-24.04"),
        ("fedora", "46", "sudo dnf upgrade --refresh"),
        ("arch", "", "sudo pacman -Syu"),
        ("ubuntu", "22.04", README),
        ("void", "", README),
    ],
)
def test_a_kernel_older_than_the_driver(tmp_path, distribution, version, remedy):
    root = machines.fine(tmp_path, NPU1, distribution, version)
    machines.without_driver(root, NPU1)
    machines.set_kernel(root, "6.12.107+deb13-amd64")
    remedy = remedy if remedy == README else f"{remedy} && sudo reboot"
    diagnosis = examined(root)
    assert_only(diagnosis, missing={"driver": remedy}, skipped=["device file"])
    assert "6.14" in found(diagnosis, "driver")


def test_a_driver_of_dkms_makes_up_for_an_old_kernel(npu1):
    machines.set_kernel(npu1, "6.12.107+deb13-amd64")
    assert_only(examined(npu1))


@pytest.mark.parametrize("kernel", ["6.14.0-37-generic", "7.3.4", "6.9.1"])
def test_a_driver_that_is_there_and_not_loaded(npu1, kernel):
    machines.without_driver(npu1, NPU1)
    machines.set_kernel(npu1, kernel)
    machines.add_module(npu1, kernel)
    remedy = {"driver": "sudo modprobe amdxdna"}
    assert_only(examined(npu1), missing=remedy, skipped=["device file"])


def test_a_new_kernel_built_without_the_driver(tmp_path):
    root = machines.fine(tmp_path, NPU1, "ubuntu", "26.04")
    machines.without_driver(root, NPU1)
    machines.add_module(root, "another-kernel")
    remedy = (
        "sudo add-apt-repository -y ppa:amd-team/xrt && "
        "sudo apt install amdxdna-dkms && sudo reboot"
    )
    assert_only(examined(root), missing={"driver": remedy}, skipped=["device file"])


def test_a_loaded_driver_that_did_not_take_the_chip_and_its_missing_firmware(npu1):
    machines.without_driver(npu1, NPU1)
    (npu1 / "sys/module/amdxdna").mkdir()
    machines.without_firmware(npu1)
    firmware = "sudo apt install -t trixie-backports firmware-amd-graphics"
    missing = {"driver": RELOAD, "firmware": f"{firmware} && sudo reboot"}
    assert_only(examined(npu1), missing=missing, skipped=["device file"])


def test_a_chip_that_another_driver_holds(npu1):
    machines.without_driver(npu1, NPU1)
    machines.bind(npu1, NPU1, "vfio-pci")
    remedy = (
        "echo 0000:c4:00.1 | sudo tee /sys/bus/pci/drivers/vfio-pci/unbind; "
        "sudo modprobe amdxdna; "
        "echo 0000:c4:00.1 | sudo tee /sys/bus/pci/drivers/amdxdna/bind"
    )
    assert_only(examined(npu1), missing={"driver": remedy}, skipped=["device file"])


@pytest.mark.parametrize(
    ("chip", "folder", "there"),
    [
        (NPU1, "1502_00", True),
        (NPU1, "17f0_10", False),
        ({**NPU2, "revision": "0x11"}, "17f0_10", False),
        (
            {**NPU2, "revision": "0x20"},
            "17f0_10",
            True,
        ),  # Krackan uses Strix's firmware
    ],
)
def test_firmware_is_that_of_the_chip(tmp_path, chip, folder, there):
    root = machines.fine(tmp_path, chip)
    machines.without_driver(root, chip)
    machines.without_firmware(root)
    machines.add_firmware(root, folder)
    assert ("firmware" in by_status(examined(root), "ok")) == there


def test_a_driver_without_a_device_file(npu1):
    (npu1 / "dev/accel/accel0").unlink()
    assert_only(examined(npu1), missing={"device file": RELOAD})


def test_a_user_who_is_not_in_the_group(npu1):
    groups = npu1 / "etc/group"
    groups.write_text(groups.read_text().replace(",ada", ""))
    assert_only(examined(npu1, ADA), missing={"group": JOIN})


def test_a_group_joined_after_the_login(npu1):
    assert_only(examined(npu1, ADA), missing={"group": "newgrp render"})


def test_the_device_file_of_another_group(npu1):
    groups = npu1 / "etc/group"
    groups.write_text(groups.read_text().replace("render:", "npu:").replace(",ada", ""))
    remedy = "sudo usermod -aG npu ada  # then log out and in"
    assert_only(examined(npu1, ADA), missing={"group": remedy})


@pytest.mark.parametrize(("mode", "opens"), [(0o666, True), (0o664, False)])
def test_a_device_file_open_to_everyone_asks_no_group(npu1, mode, opens):
    (npu1 / "dev/accel/accel0").chmod(mode)
    assert ("group" in by_status(examined(npu1, ADA), "ok")) == opens


def test_membership_of_a_group_that_may_not_write_does_not_help(npu1):
    (npu1 / "dev/accel/accel0").chmod(0o640)
    (remedy,) = by_status(examined(npu1), "missing").values()
    assert 'GROUP="render", MODE="0660"' in remedy
    assert "| sudo tee /etc/udev/rules.d/99-amdxdna.rules && " in remedy


@pytest.mark.parametrize(
    ("mode", "status"), [(0o600, "ok"), (0o066, "missing"), (0o466, "missing")]
)
def test_the_owner_of_a_device_file_has_the_owners_rights_alone(npu1, mode, status):
    node = Node("/dev/accel/accel0", ADA.uid, machines.RENDER, mode, "render")
    facts = replace(examine(npu1), node=node)
    assert check_group(facts, ADA_IN_RENDER).status == status


def test_root_needs_no_group(npu1):
    (npu1 / "dev/accel/accel0").chmod(0o600)
    assert_only(examined(npu1, replace(ADA, uid=0)))


def test_a_machine_without_a_sensor_of_energy_lacks_nothing(npu1):
    shutil.rmtree(npu1 / "sys/class/powercap")
    diagnosis = examined(npu1)
    assert_only(diagnosis, skipped=["energy"])
    assert "RAPL: no package in /sys/class/powercap" in found(diagnosis, "energy")


def test_counters_of_energy_that_only_root_may_read_are_a_warning():
    locked = NotMeasured("RAPL", "only root may read it", READABLE)
    for sources in ([], ["NPU sensor"]):
        finding = check_energy(Available(sources, [locked]))
        assert (finding.status, finding.remedy) == ("warning", READABLE)
        assert finding.found == "only root may read it; optional"


@pytest.mark.parametrize("limit", ["65536", "8388608", str((64 << 20) - 1)])
def test_memlock_below_the_heap(npu1, limit):
    machines.set_memlock(npu1, limit)
    assert_only(examined(npu1), missing={"memlock": MEMLOCK})


def test_memlock_above_the_heap_is_a_warning(npu1):
    machines.set_memlock(npu1, str(64 << 20))
    diagnosis = examined(npu1)
    assert_only(diagnosis, warning={"memlock": MEMLOCK})
    assert found(diagnosis, "memlock").startswith("64 MiB")


@pytest.mark.parametrize("line", ["* - memlock unlimited", "*\tsoft memlock unlimited"])
def test_memlock_low_in_spite_of_limits_d_is_systemds(npu1, line):
    machines.set_memlock(npu1, "8388608")
    machines.write(npu1, "etc/security/limits.d/99-amdxdna.conf", f"{line}\n")
    (remedy,) = by_status(examined(npu1), "missing").values()
    assert "LimitMEMLOCK=infinity" in remedy
    assert "/etc/systemd/system/user@.service.d/memlock.conf" in remedy


def test_a_commented_limit_does_not_count(npu1):
    machines.set_memlock(npu1, "8388608")
    machines.write(npu1, "etc/security/limits.conf", "# * - memlock unlimited\n")
    assert_only(examined(npu1), missing={"memlock": MEMLOCK})


@pytest.mark.parametrize(
    ("distribution", "version", "suite"),
    [
        ("debian", "13", "-t trixie-backports "),
        ("debian", "", ""),  # testing
        ("ubuntu", "26.04", ""),
    ],
)
def test_xrt_absent_with_apt(tmp_path, distribution, version, suite):
    root = machines.fine(tmp_path, NPU1, distribution, version)
    machines.without_xrt(root)
    install = f"sudo apt install {suite}"
    assert_only(
        examined(root),
        missing=dict.fromkeys(["xrt", "xrt plugin"], f"{install}libxrt2 libxrt-npu2"),
        warning={
            "pyxrt": f"{install}python3-xrt",
            "xclbinutil": f"{install}libxrt-utils",
        },
    )


PPA = "sudo add-apt-repository -y ppa:amd-team/xrt && "


@pytest.mark.parametrize(
    ("distribution", "version", "remedy"),
    [
        ("ubuntu", "24.04", f"{PPA}sudo apt install libxrt2 libxrt-npu2"),
        ("fedora", "46", "sudo dnf install xrt"),
        ("arch", "", "sudo pacman -S xrt xrt-plugin-amdxdna"),
        ("fedora", "43", README),  # without a package of XRT
        ("debian", "12", README),
        ("gentoo", "2.18", README),
    ],
)
def test_xrt_absent_elsewhere(tmp_path, distribution, version, remedy):
    root = machines.fine(tmp_path, NPU1, distribution, version)
    machines.without_xrt(root)
    missing = by_status(examined(root), "missing")
    assert missing == dict.fromkeys(["xrt", "xrt plugin"], remedy)


def test_the_version_of_xrt_from_amds_own_packages_is_found(npu1):
    machines.without_xrt(npu1)
    machines.add_xrt(npu1, folder="opt/xilinx/xrt/lib")
    machines.write(npu1, "opt/xilinx/xrt/version.json", '{"BUILD_VERSION": "2.26.1"}')
    for path in (npu1 / "opt/xilinx/xrt/lib").glob("*.25.00"):
        path.rename(path.with_name(path.name.removesuffix(".25.00") + ".real"))
    for name in ("libxrt_coreutil.so.2", "libxrt_driver_xdna.so.2"):
        (npu1 / "opt/xilinx/xrt/lib" / name).unlink()
        machines.write(npu1, f"opt/xilinx/xrt/lib/{name}")
    diagnosis = examined(npu1)
    assert found(diagnosis, "xrt") == "2.26.1 in /opt/xilinx/xrt/lib"


def test_an_older_xrt_is_a_warning(npu1):
    machines.without_xrt(npu1)
    machines.add_xrt(npu1, "2.21.75")
    machines.add_pyxrt(npu1, "313")
    diagnosis = examined(npu1)
    assert_only(diagnosis, warning={"xrt": README})
    assert found(diagnosis, "xrt").startswith("2.21.75 in ")


def test_xrt_without_its_part_for_npus(npu1):
    for path in (npu1 / machines.LIBRARIES).glob("libxrt_driver*"):
        path.unlink()
    remedy = "sudo apt install -t trixie-backports libxrt2 libxrt-npu2"
    assert_only(examined(npu1), missing={"xrt plugin": remedy})


def test_a_pyxrt_for_another_python_keeps_nothing_from_running(npu1):
    machines.without_pyxrt(npu1)
    machines.add_pyxrt(npu1, "312")
    diagnosis = examined(npu1)
    remedy = "python3.12 -m venv --system-site-packages .venv"
    assert_only(diagnosis, warning={"pyxrt": remedy})
    assert found(diagnosis, "pyxrt") == "for Python 3.12, this is Python 3.13; optional"


def test_of_several_pyxrt_that_for_this_python_counts(npu1):
    machines.add_pyxrt(npu1, "312", "opt/xilinx/xrt/python")
    assert_only(examined(npu1))


def test_a_pyxrt_that_this_python_does_not_look_at(npu1):
    site_packages = machines.SITE_PACKAGES
    isolated = Interpreter("3.13", site_packages, (site_packages,))
    file = f"{machines.DIST_PACKAGES}/pyxrt.cpython-313-x86_64-linux-gnu.so"
    remedy = f"ln -s {file} {site_packages}/"
    assert_only(examined(npu1, python=isolated), warning={"pyxrt": remedy})


def test_no_design_is_built_and_the_compilers_for_it_are_missing(npu1):
    for name in ("mlir_aie", "llvm_aie"):
        machines.without_package(npu1, name)
    text = "no design for npu1 is built; run: jax-npu build --device npu1"
    diagnosis = examined(
        npu1, installation=replace(COMPLETE, design=Part(problem=text))
    )
    missing = by_status(diagnosis, "missing")
    assert list(missing) == ["mlir-aie", "peano", "design"]
    assert missing["mlir-aie"].endswith("releases/expanded_assets/v1.4.2")
    assert 'pip install "mlir_aie==1.4.2"' in missing["mlir-aie"]
    assert 'pip install "llvm-aie==21.0.0.2026080301+c9c5ecb7"' in missing["peano"]
    assert missing["design"] == "jax-npu build --device npu1"
    assert found(diagnosis, "design") == "no design for npu1 is built"


def test_a_stale_design_is_to_be_built_again_for_the_chip(tmp_path):
    root = machines.fine(tmp_path, NPU2)
    stale = replace(COMPLETE, design=Part(problem="x was built for tile 64, 64, 64"))
    missing = {"design": "jax-npu build --device npu2"}
    assert_only(examined(root, installation=stale), missing=missing)
    chosen = replace(stale, chosen_design="/x")
    missing = {"design": "unset JAX_NPU_DESIGN"}
    assert_only(examined(root, installation=chosen), missing=missing)


def test_with_a_built_design_the_compilers_are_not_needed(npu1):
    for name in ("mlir_aie", "llvm_aie"):
        machines.without_package(npu1, name)
    diagnosis = examined(npu1)
    assert list(by_status(diagnosis, "warning")) == ["mlir-aie", "peano"]
    assert diagnosis.can_run


def test_another_mlir_aie_than_designs_are_written_for(npu1):
    machines.without_package(npu1, "mlir_aie")
    machines.add_package(npu1, "mlir_aie-1.5.0")
    diagnosis = examined(npu1)
    assert list(by_status(diagnosis, "warning")) == ["mlir-aie"]
    assert found(diagnosis, "mlir-aie").startswith("1.5.0; ")


def test_an_installation_without_xrts_headers(npu1):
    lacking = replace(COMPLETE, npu_library=Part(problem="not built"))
    remedy = (
        "sudo apt install -t trixie-backports libxrt-dev uuid-dev && "
        "pip install --force-reinstall --no-deps .  # in jax-npu's sources"
    )
    assert_only(examined(npu1, installation=lacking), missing={"npu library": remedy})


def test_an_xla_that_refuses_the_handlers(npu1):
    refused = Part(problem="jaxlib 0.9", remedy="pip install 'jaxlib>=0.10.2'")
    installation = replace(COMPLETE, ffi=refused)
    for backend in ("npu", "host", "auto"):
        diagnosis = examined(npu1, installation=installation, backend=backend)
        assert not diagnosis.can_run
        assert diagnosis.verdict.endswith("first do: pip install 'jaxlib>=0.10.2'")


def test_a_forced_and_a_wrong_instruction_set(npu1):
    forced = replace(COMPLETE, host_isa=Part("avx2"), forced_isa="avx2")
    remedy = {"cpu": "unset JAX_NPU_HOST_ISA"}
    assert_only(examined(npu1, installation=forced), warning=remedy)
    wrong = replace(COMPLETE, host_isa=Part(problem="must be one"), forced_isa="bogus")
    assert_only(examined(npu1, installation=wrong), missing=remedy)


def test_two_faults_at_once_are_both_reported_in_order(npu1):
    machines.set_memlock(npu1, "8388608")
    (npu1 / "etc/group").write_text(f"render:x:{machines.RENDER}:bob\n")
    missing = {"group": JOIN, "memlock": MEMLOCK}
    assert_only(examined(npu1, ADA), missing=missing)


def known(npu, host=True):
    return {
        "npu": Backend("npu", npu, "the NPU said no"),
        "host": Backend("host", host, "a CPU"),
    }


def test_the_backend_itself_overrides_the_checks(npu1):
    diagnosis = examined(npu1, known=known(npu=False))
    assert not diagnosis.can_run
    assert diagnosis.verdict == "backend npu cannot run: the NPU said no"
    machines.set_memlock(npu1, "8388608")
    assert examined(npu1, known=known(npu=True)).verdict == "backend npu can run"


def test_auto_accepts_the_host_and_reports_what_npu_lacks(npu1):
    assert examined(npu1, backend="auto").verdict == "backend auto can run, on npu"
    machines.set_memlock(npu1, "8388608")
    diagnosis = examined(npu1, backend="auto", known=known(npu=False))
    assert diagnosis.can_run
    expected = f"backend auto can run, on host: for npu, first do: {MEMLOCK}"
    assert diagnosis.verdict == expected
    assert not examined(npu1, backend="auto", known=known(False, host=False)).can_run


@pytest.fixture
def as_ada(monkeypatch):
    monkeypatch.setattr(facts, "this_user", lambda: ADA_IN_RENDER)
    monkeypatch.setattr(facts, "this_interpreter", lambda: PYTHON)
    monkeypatch.delenv("PEANO_INSTALL_DIR", raising=False)
    monkeypatch.delenv("JAX_NPU_BACKEND", raising=False)


@pytest.mark.usefixtures("as_ada")
def test_the_command_examines_a_tree_and_exits_with_the_verdict(npu1, capsys):
    assert main(["doctor", "--root", str(npu1), "--backend", "npu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "backend npu can run"
    machines.set_memlock(npu1, "8388608")
    assert main(["doctor", "--root", str(npu1), "--backend", "npu"]) == 1
    assert f"{'':8}{MEMLOCK}" in capsys.readouterr().out.splitlines()
    assert main(["doctor", "--root", str(npu1), "--backend", "host"]) == 0
    assert main(["doctor", "--root", str(npu1)]) == 0


@pytest.mark.usefixtures("as_ada")
def test_the_environment_names_the_backend(npu1, monkeypatch, capsys):
    machines.set_memlock(npu1, "8388608")
    monkeypatch.setenv("JAX_NPU_BACKEND", "npu")
    assert main(["doctor", "--root", str(npu1)]) == 1
    monkeypatch.setenv("JAX_NPU_BACKEND", "tpu")
    assert main(["doctor", "--root", str(npu1)]) == 2
    assert "got 'tpu'" in capsys.readouterr().err


@pytest.mark.usefixtures("as_ada")
def test_the_json_record_has_all_that_the_screen_shows(npu1, capsys):
    machines.set_memlock(npu1, "8388608")
    arguments = ["doctor", "--root", str(npu1), "--backend", "npu"]
    assert main([*arguments, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert list(record) == ["verdict", "can_run", "backend", "checks"]
    assert record["backend"] == "npu"
    assert record["can_run"] is False
    assert record["verdict"] == f"backend npu cannot run: first do: {MEMLOCK}"
    (memlock,) = [one for one in record["checks"] if one["status"] != "ok"]
    assert memlock["remedy"] == MEMLOCK
    assert list(memlock) == ["name", "status", "found", "remedy"]
    main(arguments)
    screen = capsys.readouterr().out
    for one in record["checks"]:
        assert f"{one['status']:8}{one['name']:13}{one['found']}" in screen


@pytest.mark.usefixtures("as_ada")
def test_a_machine_with_faults_fits_one_screen_of_80_by_24(npu1, capsys):
    (npu1 / "dev/accel/accel0").chmod(0o660)
    machines.set_memlock(npu1, "8388608")
    machines.without_pyxrt(npu1)
    main(["doctor", "--root", str(npu1)])
    lines = capsys.readouterr().out.splitlines()
    assert sum(-(-len(line) // 80) for line in lines) <= 23
    assert all(len(line) <= 80 for line in lines if line.startswith("ok"))


@pytest.mark.usefixtures("as_ada")
def test_a_command_that_fixes_two_lines_is_shown_once(npu1, capsys):
    machines.without_xrt(npu1)
    main(["doctor", "--root", str(npu1)])
    lines = capsys.readouterr().out.splitlines()
    command = "sudo apt install -t trixie-backports libxrt2 libxrt-npu2"
    assert lines.count(f"{'':8}{command}") == 1
    (plugin,) = [line for line in lines if line.startswith("missing xrt plugin")]
    assert plugin.endswith("(same command)")


def test_a_root_that_is_no_folder_is_an_error(tmp_path, capsys):
    assert main(["doctor", "--root", str(tmp_path / "none")]) == 2
    assert "--root must be a folder" in capsys.readouterr().err


def test_this_installation_passes_its_own_checks():
    installation = inspect_installation(None)
    assert installation.ffi.problem == ""
    assert re.search(r", FFI \d+\.\d+, a product ran$", installation.ffi.detail)
    assert installation.host_isa.detail in jax_npu.backends()["host"].detail
    assert installation.design.problem == "no chip to build it for"


def test_the_design_is_asked_for_only_of_the_chip_that_is_there(tmp_path):
    asked = []

    def built_design(device):
        asked.append(device)
        return tmp_path / f"{device}-1" / "gemm.xclbin"

    assert inspect_installation(None, built_design).design.problem
    assert inspect_installation("npu2", built_design).design == Part("npu2-1")
    assert asked == ["npu2"]


@pytest.mark.parametrize("available", [True, False])
def test_on_this_machine_the_backends_decide_the_exit_code(monkeypatch, available):
    listed = known(npu=available, host=available)
    monkeypatch.setattr(doctor_command, "backends", lambda: listed)
    monkeypatch.setattr(facts, "_to_test", lambda backend: None)
    for backend in ("npu", "host", "auto"):
        assert main(["doctor", "--backend", backend]) == (0 if available else 1)


def test_doctor_on_this_machine_agrees_with_the_backends():
    command = [
        sys.executable,
        "-m",
        "jax_npu.commands.command_line",
        "doctor",
        "--json",
    ]
    done = subprocess.run(
        [*command, "--backend", "npu"], capture_output=True, text=True, check=False
    )
    record = json.loads(done.stdout)
    assert [one["name"] for one in record["checks"]] == ALL
    available = jax_npu.backends()["npu"].available
    assert (done.returncode, record["can_run"]) == (0 if available else 1, available)

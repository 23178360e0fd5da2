"""`jax-npu machines`, and the flags that choose what a time holds for."""

import json
import re
from pathlib import Path

import pytest

from jax_npu.commands.command_line import main
from xdna.gemm.runs import RUNS_OF_A_LIST
from xdna.machine_choice import MACHINE_VARIABLE, machine
from xdna.machines import MACHINES

ROOT = Path(__file__).parents[3]
GEMM = ["simulate", "--gemm", "64", "64", "64", "--arithmetic", "fast"]
PLAN = ["plan", "-m", "64", "-k", "64", "-n", "64"]
SMALL_TILE = ["--tile", "16", "16", "16"]


def printed(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_machines_are_listed_in_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["machines"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in MACHINES)
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_listed_with_its_sources(name, capsys):
    assert main(["machines", name]) == 0
    words = capsys.readouterr().out.split()
    for source in MACHINES[name].sources.values():
        assert source.split()[0] in words
    assert "power.npu_busy" in words
    (record,) = (one for one in printed(capsys, "machines") if one["name"] == name)
    assert record == printed(capsys, "machines", name)


def test_a_printed_profile_can_be_edited_and_used(tmp_path, capsys):
    assert main(["machines", "8700g", "--toml"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("clock_hz = 1.8e+09", "clock_hz = 1.6e9"))
    assert machine(str(path)).clock_hz == 1.6e9
    assert main(["machines", str(path)]) == 0
    assert "given in mine.toml" in capsys.readouterr().out
    record = printed(capsys, *GEMM, "--machine", path)
    assert (record["machine"], record["clock_hz"]) == ("mine", 1.6e9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["machines", "z1"], "machine must be one of 7940hs"),
        (["machines", "none.toml"], "machine none.toml cannot be read"),
        (["machines", "--toml"], "--toml needs a machine: 7940hs"),
        ([*GEMM, "--machine", "z1"], "machine must be one of 7940hs"),
        (
            [*GEMM, "--machine", "hx370", "--device", "npu1"],
            "machine hx370 has an npu2, and times of an npu1 are asked for",
        ),
        (
            [*PLAN, "--machine", "hx370", "--device", "npu1_2col"],
            "machine hx370 has an npu2, and times of an npu1 are asked for",
        ),
    ],
)
def test_a_wrong_machine_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [GEMM, PLAN])
def test_the_device_is_the_machines(command, monkeypatch, capsys):
    def device_of(*more):
        record = printed(capsys, *command, *more)
        return record.get("device") or record["array"]["device_name"]

    assert device_of() == "npu1"
    assert device_of("--machine", "hx370") == "npu2"
    assert device_of("--device", "npu2") == "npu2"
    monkeypatch.setenv(MACHINE_VARIABLE, "krackan-350")
    assert device_of() == "npu2"
    assert printed(capsys, *command)["machine"] == "krackan-350"


@pytest.mark.parametrize("command", [GEMM, PLAN])
def test_what_a_time_holds_for_is_printed(command, capsys):
    record = printed(capsys, *command)
    assert (record["machine"], record["compiler"]) == ("7940hs", "peano")
    more = ["--machine", "8700g", "--clock", "1.6", "--compiler", "xchesscc"]
    record = printed(capsys, *command, *more)
    assert record["machine"] == "8700g at 1.6 GHz"
    assert record["compiler"] == "xchesscc"
    assert main([*command, *more]) == 0
    out = capsys.readouterr().out
    assert "8700g at 1.6 GHz" in out
    assert "kernels by xchesscc" in out


@pytest.mark.parametrize(
    ("text", "hz"), [("1.6", 1.6e9), ("1.6e9", 1.6e9), ("800e6", 0.8e9)]
)
def test_a_clock_is_in_ghz_or_hz(text, hz, capsys):
    assert printed(capsys, *GEMM, "--clock", text)["clock_hz"] == hz


@pytest.mark.parametrize("text", ["0", "-1", "1600", "fast", "nan", "inf"])
def test_another_clock_is_an_error_with_both_forms(text, capsys):
    with pytest.raises(SystemExit):
        main([*GEMM, f"--clock={text}"])
    assert "in GHz, such as 1.6, or in Hz, such as 1.6e9" in capsys.readouterr().err


def test_a_slower_clock_and_faster_kernels_change_the_time(capsys):
    sizes = ["simulate", "--gemm", "256", "512", "256", "--arithmetic", "fast"]
    seconds, slower, faster = (
        printed(capsys, *sizes, *more)["seconds"]
        for more in ([], ["--clock", "0.8"], ["--compiler", "xchesscc"])
    )
    assert faster < seconds < slower


@pytest.mark.parametrize("more", [[], ["--machine", "hx370"], ["--clock", "0.8"]])
def test_a_plan_takes_as_long_as_the_simulation(more, capsys):
    sizes = ["256", "512", "512"]
    plan = printed(capsys, "plan", *_flags(sizes), *more)
    arithmetic = ["--arithmetic", plan["arithmetic"]]
    simulated = printed(capsys, "simulate", "--gemm", *sizes, *arithmetic, *more)
    assert plan["estimated_seconds"] == pytest.approx(simulated["seconds"], rel=0.1)


def test_all_runs_of_a_gemm_but_a_lists_first_are_chained(monkeypatch, capsys):
    monkeypatch.setattr("xdna.gemm.runs.MAX_IMAGE_BYTES", 1 << 14)
    sizes = ["100", "41", "150"]
    record = printed(capsys, "simulate", "--gemm", *sizes, *SMALL_TILE)
    assert record["runs"] > 4
    launch = MACHINES["7940hs"].launch_seconds
    lists = -(-record["runs"] // RUNS_OF_A_LIST)
    assert record["submission_seconds"] == pytest.approx(lists * launch)


def test_a_list_is_as_long_as_the_drivers():
    text = (ROOT / "xla_ffi/driver/driver.h").read_text()
    assert re.findall(r"kMaxRuns = (\d+);", text) == [str(RUNS_OF_A_LIST)]


def _flags(sizes):
    return [word for pair in zip(("-m", "-k", "-n"), sizes) for word in pair]

"""Machines: each number has a source, and a user's profile is read or refused."""

import dataclasses
import re

import pytest

from xdna.machine_choice import (
    MACHINE_VARIABLE,
    chosen_machine,
    machine,
    machines_device,
    profile_text,
)
from xdna.machines import DEFAULT_MACHINES, MACHINES, Cpu, Power

EVERY = pytest.mark.parametrize("one", MACHINES.values(), ids=MACHINES)


def numbers(one, prefix=""):
    """The names and values of a profile's numbers, and of those that are not known."""
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        if isinstance(value, Cpu | Power):
            yield from numbers(value, f"{field.name}.")
        elif value is None or isinstance(value, int | float):
            yield prefix + field.name, value


@EVERY
def test_every_number_has_a_source(one):
    values = {n: v for n, v in numbers(one) if not isinstance(v, bool)}
    assert len(values) == 9
    assert [name for name in values if not one.source(name)] == []
    assert all(value is None or value > 0 for value in values.values())


@EVERY
def test_every_source_is_of_a_number(one):
    names = {name for name, _ in numbers(one)}
    groups = {name.split(".")[0] for name in names}
    assert one.sources.keys() <= names | groups


def test_each_npu_has_a_default_machine():
    for name, default in DEFAULT_MACHINES.items():
        assert MACHINES[default].device == name
        assert (
            chosen_machine(name) == chosen_machine(f"{name}_1col") == machine(default)
        )


@EVERY
def test_a_printed_profile_is_the_machine_again(one, tmp_path):
    path = tmp_path / f"{one.name}.toml"
    path.write_text(profile_text(one))
    again = machine(str(path))
    assert again == one
    assert again.sources == one.sources


@pytest.mark.parametrize("stem", ["mine", "hx370"])  # the latter is an npu2's name
def test_a_users_profile_survives_being_printed(stem, tmp_path):
    path, again = tmp_path / f"{stem}.toml", tmp_path / "again" / f"{stem}.toml"
    path.write_text(
        'base = "8700g"\n'
        "clock_hz = 1.6e9\nlaunch_seconds = 0.00012345678\n"
        'power.idle = 7\ncpu = {cores = 6, model = "a \\"b\\" \\\\ é"}\n'
        'sources = {launch_seconds = "1000 empty runs"}\n'
    )
    mine, base = machine(str(path)), MACHINES["8700g"]
    assert mine.name == stem
    assert (mine.clock_hz, mine.launch_seconds, mine.power.idle) == (
        1.6e9,
        12345678e-11,
        7,
    )
    assert mine.ddr_bytes_per_second == base.ddr_bytes_per_second
    assert mine.cpu == dataclasses.replace(base.cpu, cores=6, model='a "b" \\ é')
    again.parent.mkdir()
    again.write_text(profile_text(mine))
    assert machine(str(again)) == mine
    assert machine(str(again)).sources == mine.sources


def test_a_changed_number_does_not_keep_the_bases_source(tmp_path):
    path = tmp_path / "mine.toml"
    printed = profile_text(MACHINES["7940hs"])
    path.write_text(printed.replace("clock_hz = 1e+09", "clock_hz = 1.6e9"))
    mine = machine(str(path))
    assert mine.clock_hz == 1.6e9
    assert mine.source("clock_hz") == "given in mine.toml"
    assert mine.source("launch_seconds") == MACHINES["7940hs"].source("launch_seconds")


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "mine.toml"
    for clock in 1.5e9, 1.25e9:
        path.write_text(f'base = "7940hs"\nclock_hz = {clock}\n')
        assert machine(str(path)).clock_hz == clock


BASE = 'base = "7940hs"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.toml cannot be read: No such file"),
        ("clock_hz = ", "mine.toml is not TOML"),
        (b"\xff", "mine.toml is not TOML"),
        ("clock_hz = 1e9", "must name a base, one of 7940hs, .* got None"),
        ("base = [1]", r"must name a base, .* got \[1\]"),
        (BASE + "clock = 1e9", "no field clock; known are clock_hz, cpu"),
        (BASE + "cpu.threads = 16", "no field cpu.threads; known are cores"),
        (BASE + 'clock_hz = "fast"', "clock_hz must be a number above 0, got 'fast'"),
        (BASE + "clock_hz = true", "clock_hz must be a number above 0, got True"),
        (BASE + "clock_hz = nan", "clock_hz must be a number above 0, got nan"),
        (BASE + "clock_hz = inf", "clock_hz must be a number above 0, got inf"),
        (BASE + "launch_seconds = -1e-6", "launch_seconds must be a number above 0"),
        (BASE + "power.idle = -5", "power.idle must be a number above 0, got -5"),
        (BASE + "cpu.cores = 6.5", "cpu.cores must be a whole number, got 6.5"),
        (BASE + "cpu.model = 7", "cpu.model must be like .*7940HS.*, got 7"),
        (BASE + "ddr_directions_shared = 1", "must be like true, got 1"),
        (BASE + "cpu = 5", r"cpu must be a table, \[cpu\], got 5"),
        (BASE + 'sources = "me"', r"sources must be a table, \[sources\], got 'me'"),
        (BASE + "sources.clock_hz = 5", "the source of clock_hz must be text, got 5"),
        (BASE + 'sources.clock = "me"', "sources has 'clock', which is no field"),
        (BASE + 'device = "npu2"', "must have its base's device, npu1, got 'npu2'"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        machine(str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_machine_of_another_generation_is_refused():
    message = "machine hx370 has an npu2, .* npu1 .* such as 7940hs, 8700g, or device"
    with pytest.raises(ValueError, match=message):
        chosen_machine("npu1_2col", "hx370")
    with pytest.raises(ValueError, match=r"one of 7940hs, .* \.toml file, got 'z1'"):
        machine("z1")


def test_the_variable_chooses_where_nothing_else_does(monkeypatch):
    assert machines_device() is None
    monkeypatch.setenv(MACHINE_VARIABLE, "hx370")
    assert machines_device() == "npu2"
    assert chosen_machine("npu2").name == "hx370"
    assert chosen_machine("npu2", "krackan-350").name == "krackan-350"
    message = re.escape(f"{MACHINE_VARIABLE} = hx370 has an npu2")
    with pytest.raises(ValueError, match=message):
        chosen_machine("npu1")

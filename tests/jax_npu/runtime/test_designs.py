"""What a process remembers of designs that earlier ones made."""

import pytest

from jax_npu.runtime import designs
from jax_npu.runtime.cache import remembered


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and nothing known in the process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield tmp_path / "jax-npu"
    forget()


def forget():
    """Leaves only what lies in the cache, as for another process."""
    designs._simulated.cache_clear()
    designs._simulated_key.cache_clear()
    designs._chips_design_key.cache_clear()
    remembered._sources.cache_clear()


@pytest.fixture
def made(monkeypatch):
    """The designs that were made, as (device, machine); they hold nothing else."""
    made = []

    def count(device, machine):
        made.append((device, machine.name))
        return f"{device} {machine.name}".encode()

    count.cache_clear = lambda: None
    monkeypatch.setattr(designs, "_simulated", count)
    return made


def know_design():
    forget()
    return designs.simulated_design("npu1"), designs.design_key("sim", "npu1")


def test_another_process_finds_the_design_that_the_first_one_made(cache, made):
    first = know_design()
    num_made = len(made)
    assert num_made > 0
    assert know_design() == first
    assert len(made) == num_made


def test_every_machine_has_its_own_entry(cache, made, monkeypatch):
    first = know_design()
    monkeypatch.setenv("JAX_NPU_MACHINE", "8700g")
    assert know_design() != first
    assert made[-1] == ("npu1", "8700g")
    monkeypatch.delenv("JAX_NPU_MACHINE")
    assert know_design() == first


def test_an_entry_of_other_sources_is_not_used(cache, made, monkeypatch):
    know_design()
    num_made = len(made)
    monkeypatch.setattr(remembered, "version", lambda name: "another release")
    know_design()
    assert len(made) > num_made


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", b"0123456789abcdef\n"])
def test_a_damaged_entry_is_made_again(cache, made, damage):
    first = know_design()
    num_made = len(made)
    for entry in (cache / "remembered").iterdir():
        entry.write_bytes(damage)
    assert know_design() == first
    assert len(made) > num_made
    num_made = len(made)
    assert know_design() == first
    assert len(made) == num_made


def test_an_entry_with_one_changed_digit_is_not_believed(cache, made):
    _, key = first = know_design()
    for entry in (cache / "remembered").iterdir():
        changed = ("0" if key[0] != "0" else "1") + entry.read_text()[1:]
        entry.write_text(changed)
    assert know_design() == first


def test_a_damaged_design_is_written_again(cache, made):
    design, _ = know_design()
    content = design.read_bytes()
    design.write_bytes(content[:3])
    assert know_design()[0] == design
    assert design.read_bytes() == content


def test_without_a_cache_a_chips_design_is_still_known(cache, monkeypatch):
    key = designs.design_key("npu", "npu1")
    forget()
    cache.parent.joinpath("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent / "file"))
    assert designs.design_key("npu", "npu1") == key

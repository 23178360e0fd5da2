"""The table of this CPU is measured once and found again in the cache."""

import pytest

from jax_npu.lowering.placement import cpu_table
from jax_npu.runtime.environment import HOST_ISA
from xdna.placement.host_table import HostTable, points
from xdna.placement.product import Sizes

SMALL = [Sizes(1, 16, 16, 16), Sizes(2, 8, 8, 8)]


@pytest.fixture
def measurements(monkeypatch, tmp_path):
    """Counts measurements, each of which gives another time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def measure():
        made.append(1)
        seconds = 1e-3 * len(made)
        return HostTable(dict.fromkeys(points(), seconds), 1e10, "CPU", 2)

    monkeypatch.setattr(cpu_table, "measure", measure)
    cpu_table._table.cache_clear()
    yield made
    cpu_table._table.cache_clear()


def first_seconds():
    return next(iter(cpu_table.measured_table().measured.values()))


def test_it_is_measured_once_and_kept_for_other_processes(measurements, tmp_path):
    assert first_seconds() == first_seconds() == 1e-3
    cpu_table._table.cache_clear()  # as in another process
    assert first_seconds() == 1e-3
    assert len(measurements) == 1
    assert len(list((tmp_path / "jax-npu").glob("products-*.json"))) == 1


def test_another_instruction_set_is_measured_by_itself(measurements, monkeypatch):
    first_seconds()
    monkeypatch.setenv(HOST_ISA.name, "portable")
    assert first_seconds() == 2e-3


def test_a_file_that_was_cut_off_is_written_again(measurements, tmp_path):
    first_seconds()
    (path,) = (tmp_path / "jax-npu").glob("products-*.json")
    path.write_text(path.read_text()[:100])
    cpu_table._table.cache_clear()
    assert first_seconds() == 2e-3
    assert HostTable.from_json(path.read_text()).model == "CPU"


def test_an_error_of_the_measurement_reaches_the_caller(measurements, monkeypatch):
    def fail():
        raise OSError("no memory")

    monkeypatch.setattr(cpu_table, "measure", fail)
    with pytest.raises(OSError, match="no memory"):
        cpu_table.measured_table()


def test_a_measurement_runs_the_hosts_kernel_while_a_program_is_lowered(
    measurements, monkeypatch
):
    """With jax under way in this thread; of few products, to be short."""
    import jax

    import jax_npu

    def measure():
        before = jax_npu.counters()
        assert min(cpu_table._seconds([cpu_table._product(s) for s in SMALL])) > 0
        assert (jax_npu.counters() - before).host_calls > len(SMALL)
        return HostTable(dict.fromkeys(points(), 1.0), 1e10, "CPU", 2)

    monkeypatch.setattr(cpu_table, "measure", measure)
    tables = []
    jax.make_jaxpr(lambda x: (tables.append(cpu_table.measured_table()), x)[1])(1.0)
    assert tables[0].seconds.__self__.measured[SMALL[0]] == 1.0

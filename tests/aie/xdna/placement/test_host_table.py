"""The table of a CPU's products: what was measured, and what lies between."""

import json
import math
import random

import pytest

from xdna.machines import MACHINES
from xdna.placement.host_table import BATCH, HostTable, points
from xdna.placement.product import Product, Sizes


def formula(batch, m, k, n):
    """Seconds that are a power of each size, between which the table is exact."""
    return 1e-9 * batch**0.9 * m**0.8 * k**0.7 * n**0.6


@pytest.fixture
def table():
    measured = {sizes: formula(*sizes) for sizes in points()}
    return HostTable(measured, 20e9, "a CPU", 4)


def test_what_was_measured_is_returned(table):
    for sizes in points():
        assert table.seconds(Product(*sizes)) == pytest.approx(formula(*sizes))


@pytest.mark.parametrize("seed", range(20))
def test_sizes_between_follow_the_law_of_their_neighbours(table, seed):
    draw = random.Random(seed)
    m, k, n = (draw.randint(1, 1024) for _ in range(3))
    assert table.seconds(Product(1, m, k, n)) == pytest.approx(formula(1, m, k, n))
    batch, (m, k, n) = draw.randint(2, BATCH), (draw.randint(8, 256) for _ in range(3))
    expected = formula(batch, m, k, n)
    assert table.seconds(Product(batch, m, k, n)) == pytest.approx(expected)


def test_beyond_the_largest_time_grows_as_flops_do(table):
    once = table.seconds(Product(1, 1024, 1024, 1024))
    assert table.seconds(Product(1, 1024, 1024, 50257)) == pytest.approx(
        once * 50257 / 1024
    )
    in_batch = table.seconds(Product(BATCH, 64, 64, 64))
    assert table.seconds(Product(3 * BATCH, 64, 64, 64)) == pytest.approx(3 * in_batch)
    three = Product(1, 64, 64, 64, passes=3)
    assert table.seconds(three) == pytest.approx(3 * formula(1, 64, 64, 64))


def test_a_batch_never_takes_longer_than_one_by_one(table):
    slow = {s: t * (100 if s.batch > 1 else 1) for s, t in table.measured.items()}
    product = Product(BATCH, 64, 64, 64)
    one = table.seconds(Product(1, 64, 64, 64))
    assert HostTable(slow, 20e9, "", 4).seconds(product) == pytest.approx(BATCH * one)


def test_it_is_read_back_as_it_was_written(table):
    again = HostTable.from_json(table.to_json())
    assert again.measured == table.measured
    assert (again.model, again.cores) == ("a CPU", 4)
    assert again.memory_bytes_per_second == 20e9


@pytest.mark.parametrize("change", ["{", "[]", "{}", '{"products": [[1]]}', "lacking"])
def test_a_damaged_file_is_refused(table, change):
    text = change
    if change == "lacking":
        record = json.loads(table.to_json())
        record["products"].pop()
        text = json.dumps(record)
    with pytest.raises(ValueError, match=r"table|JSON|property"):
        HostTable.from_json(text)


def test_its_profile_has_the_rate_of_its_largest_product(table):
    cpu = table.cpu(MACHINES["7940hs"].cpu)
    largest = Sizes(1, 1024, 1024, 1024)
    rate = 2 * math.prod(largest) / formula(*largest) / 4 / 1e9
    assert (cpu.model, cpu.cores) == ("a CPU", 4)
    assert cpu.gflops_per_core == pytest.approx(rate)
    assert cpu.memory_bytes_per_second == 20e9

"""An NPU that computes wrong: which runs are checked, and when the host takes over."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

SAMPLE = 32  # kMaxSampleGap
RIGHT_ROW = 256  # kLongRightRow
MAX_MISTAKES = 4  # kMaxMistakes
PERSISTENT = ["untouched", "wrong", "garbage"]


@pytest.fixture
def multiply(virtual_xrt, rng):
    """A function that lowers a product, whose calls return whether they are right."""

    def lower():
        function = jax.jit(lambda a, b: jax_npu.matmul(a, b, backend="sim"))

        def multiply():
            a, b = (rng.integers(-4, 5, s).astype(np.float32) for s in SHAPES)
            return np.array_equal(function(a, b), a @ b)

        return multiply

    return lower


SHAPES = (64, 64), (64, 32)


@pytest.fixture
def warm(multiply):
    """`multiply`, after a first product made the context and checked the shape."""

    def lower():
        product = multiply()
        assert product()
        return product

    return lower


# 1,000 products on an NPU that is wrong from the start, in a process of its own.
THOUSAND = """
import json, jax, jax_npu, numpy as np
rng = np.random.default_rng(0)
function = jax.jit(lambda a, b: jax_npu.matmul(a, b, backend="sim"))
results = []
for _ in range(1000):
    a, b = (rng.integers(-4, 5, s).astype(np.float32) for s in ((64, 64), (64, 32)))
    try:
        right = bool(np.array_equal(function(a, b), a @ b))
        results.append("right" if right else "wrong")
    except Exception as error:
        assert "unset JAX_NPU_STRICT" in str(error), error
        results.append("error")
    mismatches = jax_npu.npu_events()["mismatches"]
    results[-1] += " before" if mismatches == 0 else " after"
print(json.dumps({"results": results, "events": jax_npu.npu_events()}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["untouched@1+", "wrong@1+", "garbage/3"])
@pytest.mark.parametrize("strict", ["0", "1"])
def test_of_1000_products_none_is_wrong_after_the_first_mistake(
    run_python, spec, strict
):
    done = run_python(THOUSAND, JAX_NPU_SIM_FAULTS=spec, JAX_NPU_STRICT=strict)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    results = out["results"]
    assert "wrong after" not in results
    assert results.count("wrong before") < SAMPLE
    assert ("error after" in results) == (strict == "1")
    assert out["events"]["unhealthy"] == 1
    last = "error after" if strict == "1" else "right after"
    assert results[-500:] == [last] * 500


@pytest.mark.parametrize("fault", PERSISTENT)
@pytest.mark.parametrize("first", [1, 7, 40])
def test_an_npu_that_turns_bad_is_found_within_one_interval(
    virtual_xrt, warm, events, fault, first
):
    product = warm()
    virtual_xrt.set_faults(f"{fault}@{first}+")
    right = [(product(), events("mismatches")) for _ in range(150)]
    found = next(i for i, (_, count) in enumerate(right) if count)
    assert all(is_right for is_right, _ in right[found:])
    num_wrong = sum(not is_right for is_right, _ in right)
    assert num_wrong < SAMPLE
    assert events("unhealthy") == 1


def test_runs_that_were_under_way_at_the_first_mistake_are_checked_too(
    virtual_xrt, rng, events
):
    """Ten products start at once; without the mistake only the first is checked."""
    a = rng.integers(-4, 5, (64, 640)).astype(np.float32)
    parts = jnp.split(jnp.asarray(a), 10, axis=1)
    products = jax.jit(lambda xs: [jax_npu.matmul(x, x.T, backend="sim") for x in xs])
    jax.block_until_ready(products(parts))
    expected = [x @ x.T for x in map(np.array, parts)]
    virtual_xrt.set_faults("wrong@1+")
    wrong, before = 0, events("mismatches")
    for _ in range(20):
        counted = events("mismatches") > before
        results = jax.block_until_ready(products(parts))
        is_wrong = [not np.array_equal(r, x) for r, x in zip(results, expected)]
        assert not (counted and any(is_wrong))
        wrong += sum(is_wrong)
    assert wrong < SAMPLE


def test_after_a_mistake_every_run_is_checked_until_a_long_row_is_right(
    virtual_xrt, warm, events, monkeypatch
):
    product = warm()
    virtual_xrt.set_faults("wrong@1")
    while not events("mismatches"):  # found by a sampled check, at the latest
        virtual_xrt.set_faults("wrong@1")
        product()
    before = events("checks")
    for _ in range(RIGHT_ROW):
        assert product()
    assert events("checks") - before == RIGHT_ROW
    for _ in range(4 * SAMPLE):
        assert product()
    assert 4 <= events("checks") - before - RIGHT_ROW <= 8
    assert events("unhealthy") == 0


def test_a_mistake_in_each_right_row_does_not_make_the_npu_unhealthy(
    virtual_xrt, monkeypatch, multiply, events
):
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    product = multiply()
    for _ in range(MAX_MISTAKES + 1):
        virtual_xrt.set_faults("wrong@1")
        for _ in range(RIGHT_ROW + 2):
            assert product()
    assert events("mismatches") == MAX_MISTAKES + 1
    assert events("unhealthy") == 0


def test_the_first_run_of_every_size_type_and_order_is_checked(
    virtual_xrt, monkeypatch, events, rng
):
    monkeypatch.setenv("JAX_NPU_CHECK", "first")
    x = rng.standard_normal((40, 40)).astype(np.float32)
    half = jnp.asarray(x, "bfloat16")
    products = [
        lambda: jax_npu.matmul(x, x, backend="sim"),
        lambda: jax_npu.matmul(x, x[:, :-1], backend="sim"),
        lambda: jax_npu.matmul(half, x, backend="sim"),
        lambda: jax_npu.matmul(half, half, backend="sim"),
        lambda: jax_npu.einsum("km,kn->mn", x, x, backend="sim"),
        lambda: jax_npu.einsum("mk,nk->mn", x, x, backend="sim"),
        lambda: jax_npu.einsum("mk,kn->nm", x, x, backend="sim"),
        lambda: jax_npu.matmul(x, x, precision="high", backend="sim"),
    ]
    for count, product in enumerate(products, 1):
        for _ in range(2):
            product().block_until_ready()
        assert events("checks") == count


def test_a_new_context_is_tested_before_it_computes(virtual_xrt, warm, events):
    product = warm()
    before = events("self_tests")
    for _ in range(3):
        virtual_xrt.set_faults("abort@1")
        assert product()
        assert virtual_xrt.calls["context"] == 1
    assert events("self_tests") - before == 3


def test_a_self_test_that_fails_once_is_tried_in_a_new_context(
    virtual_xrt, warm, events
):
    product = warm()
    # The run fails, and the self-test of the next context returns garbage.
    virtual_xrt.set_faults("abort@1,garbage@2")
    assert product()
    assert virtual_xrt.faults["garbage"] == 1
    assert (events("failed_self_tests"), events("unhealthy")) == (1, 0)
    assert events("host_products") == 0
    before = events("checks")
    assert product()
    assert events("checks") == before + 1  # after a mistake every run is checked


def test_an_npu_that_turns_unhealthy_at_a_last_attempt_leaves_it_to_the_host(
    virtual_xrt, warm, events
):
    product = warm()
    virtual_xrt.set_faults("abort@1,abort@2,abort@3,wrong@4+")
    assert product()
    assert (events("unhealthy"), events("failures")) == (1, 0)


def test_a_context_that_ran_unchecked_is_tested_before_a_checked_run(
    virtual_xrt, monkeypatch, multiply, events
):
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    unchecked = multiply()
    virtual_xrt.set_faults("abort@1")
    assert unchecked()  # in a new context, which was not tested
    monkeypatch.setenv("JAX_NPU_CHECK", "first")
    checked = multiply()
    before = events("retries")
    assert unchecked()
    virtual_xrt.set_faults("garbage@1")  # run 1 is the self-test
    assert checked()
    assert events("retries") == before


def test_a_shape_whose_first_run_fails_for_good_is_checked_next_time(
    virtual_xrt, monkeypatch, multiply, events
):
    monkeypatch.setenv("JAX_NPU_CHECK", "first")
    product = multiply()
    virtual_xrt.set_faults("abort@1+")
    with pytest.raises(Exception, match="4 attempts"):
        product()
    virtual_xrt.set_faults("")
    before = events("checks")
    assert product()
    assert events("checks") == before + 1


def test_denormal_operands_raise_no_alarm(virtual_xrt, monkeypatch, events):
    """XLA's threads flush denormals to 0, but the checks must not."""
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    a, b = np.zeros((64, 64), np.float32), np.zeros((64, 32), np.float32)
    a[3, 5], b[5, 7] = 9e-39, 1e38
    result = np.asarray(jax_npu.matmul(a, b, backend="sim"))
    assert result[3, 7] == pytest.approx(0.9, rel=0.01)
    assert (events("checks"), events("mismatches")) == (1, 0)


def test_without_checks_no_context_is_tested(run_python):
    program = f"{PRODUCT}\nprint(jax_npu.npu_events()['self_tests'])"
    assert run_python(program, JAX_NPU_CHECK="off").stdout == "0\n"
    assert run_python(program, JAX_NPU_CHECK="first").stdout == "1\n"


PRODUCT = """
import numpy as np, jax_npu
x = np.random.default_rng(0).integers(-4, 5, (65, 65)).astype(np.float32)
np.testing.assert_array_equal(jax_npu.matmul(x, x, backend="sim"), x @ x)
"""


@pytest.mark.parametrize(
    ("device", "arithmetic", "shown"),
    [
        ("npu1", "exact", "f32"),
        ("npu1", "fast", "f32"),
        ("npu2", "exact", "f32"),
        ("npu2", "fast", "f32"),
        ("npu2", "bfp16", "bfp16"),
    ],
)
def test_a_right_npu_passes_and_shows_its_arithmetic(
    run_python, device, arithmetic, shown
):
    program = f"{PRODUCT}\nprint(jax_npu.npu_health()['sim'].arithmetic)"
    done = run_python(program, JAX_NPU_DEVICE=device, JAX_NPU_SIM_ARITHMETIC=arithmetic)
    assert (done.stdout, done.stderr) == (f"{shown}\n", "")


def test_rounding_downwards_is_found_by_name_and_the_result_is_right(run_python):
    """The best-known fault of these chips; it biases sums by 1 % of their mass."""
    done = run_python(
        """
import jax_npu, numpy as np
rng = np.random.default_rng(0)
a, b = rng.random((256, 768), np.float32), rng.random((768, 256), np.float32)
c = np.asarray(jax_npu.matmul(a, b, backend="sim"), np.float64)
bias = (c - a.astype(float) @ b).mean() / (768 * a.mean() * b.mean())
print(bias, jax_npu.npu_health()["sim"].arithmetic)
""",
        JAX_NPU_DEVICE="npu2",
        JAX_NPU_SIM_ARITHMETIC="bfp16_floor",
    )
    assert done.returncode == 0, done.stderr
    bias, arithmetic = done.stdout.split()
    assert abs(float(bias)) < 1e-4
    assert arithmetic == "bfp16_floor"
    assert "its cores round downwards (floor), not to nearest even" in done.stderr


def test_an_unhealthy_npu_is_reported_once_and_when_the_process_ends(run_python):
    program = PRODUCT + "for _ in range(50): jax_npu.matmul(x, x, backend='sim')\n"
    done = run_python(
        f"{program}print(jax_npu.npu_health()['sim'].problem)",
        JAX_NPU_SIM_FAULTS="untouched@1+",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    (unhealthy,) = (line for line in lines if "the NPU is unhealthy" in line)
    assert re.search(r"4 results were wrong .*never written", unhealthy)
    assert lines[-1].startswith(
        "jax-npu: the NPU was wrong 4 times in this process, and the host computed 51 "
        "products instead; run 'jax-npu doctor'"
    )
    assert len(lines) == MAX_MISTAKES + 2
    assert done.stdout.startswith("the NPU is unhealthy: ")


def test_a_healthy_npu_prints_nothing_when_the_process_ends(run_python):
    assert run_python(PRODUCT).stderr == ""


@pytest.mark.parametrize("fault", PERSISTENT)
def test_an_unhealthy_npu_is_an_error_if_strict(
    virtual_xrt, warm, monkeypatch, events, fault
):
    monkeypatch.setenv("JAX_NPU_STRICT", "1")
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    product = warm()
    virtual_xrt.set_faults(f"{fault}@1+")
    for _ in range(2 * MAX_MISTAKES):
        with pytest.raises(Exception, match="or unset JAX_NPU_STRICT to have the host"):
            product()
    with pytest.raises(Exception, match="xdna_gemm_sim: the NPU is unhealthy: "):
        product()
    assert events("host_products") == 0

"""Fixtures of training on an NPU with faults: full checks, and results to share."""

import pytest


@pytest.fixture(scope="module")
def always():
    """Every result of the virtual NPU is checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NPU_CHECK", "always")
        yield


@pytest.fixture(scope="module")
def kept():
    """A dictionary of what the first test that needs it computes for the others."""
    return {}

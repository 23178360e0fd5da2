"""The driver tells errors of the kernel apart, and names a remedy for each."""

import errno
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAYS = {
    "ENODEV": "the NPU is gone",
    "ENOMEM": "ulimit -l unlimited",
    "EAGAIN": "ulimit -l unlimited",
    "EBUSY": "another program holds the NPU",
    "ETIME": "in the time that the kernel's driver allows",
    "ETIMEDOUT": "firmware does not answer",
    "EOPNOTSUPP": "a newer kernel",
    "EACCES": "group render",
    "EIO": "dmesg",
}


@pytest.fixture(scope="module")
def remedies(tmp_path_factory):
    """By errno: the remedies when a context, and when a buffer could not be made."""
    program = tmp_path_factory.mktemp("errors") / "errors"
    source = Path(__file__).parent / "errors_main.cc"
    subprocess.run(["g++", "-std=c++17", "-I", ROOT, source, "-o", program], check=True)
    names = [*SAYS, "EINVAL"]
    codes = [str(getattr(errno, name)) for name in names]
    lines = subprocess.run(
        [program, *codes], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return dict(zip(names, zip(lines[::2], lines[1::2])))


@pytest.mark.parametrize("name", SAYS)
def test_each_errno_has_its_cause_and_remedy(remedies, name):
    assert all(SAYS[name] in remedy for remedy in remedies[name])
    others = {remedies[other] for other in SAYS if SAYS[other] != SAYS[name]}
    assert remedies[name] not in others


def test_a_refused_buffer_is_no_lack_of_contexts(remedies):
    context, buffer = remedies["EINVAL"]
    assert "all contexts of the NPU may be taken" in context
    assert "contexts" not in buffer
    assert "too old" in buffer

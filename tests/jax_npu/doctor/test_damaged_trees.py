"""The doctor reads whatever a machine's files hold: it ends with findings."""

import random
import shutil

import pytest

from jax_npu.doctor.diagnosis import diagnose
from jax_npu.doctor.facts import read_facts

from .. import machines
from .test_doctor import examined

MUTATIONS = 200


def test_bytes_that_are_no_text_are_a_reason_and_no_error(tmp_path):
    root = machines.fine(tmp_path, machines.NPU1)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"\xff\x00\xfe1")
    assert not examined(root).can_run


@pytest.mark.slow
def test_damaged_files_end_in_findings(tmp_path):
    chance = random.Random(1)
    for number in range(MUTATIONS):
        chip = chance.choice([machines.NPU1, machines.NPU2])
        root = machines.fine(tmp_path / str(number), chip)
        files = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
        for path in chance.sample(files, min(3, len(files))):
            damage(path, chance)
        assert diagnose(read_facts(root), "npu").checks
        shutil.rmtree(root)


def damage(path, chance):
    data = bytearray(path.read_bytes())
    how = chance.choice(["folder", "noise", "gone", "bytes", "half"])
    if how in ("folder", "gone"):
        path.unlink()
        if how == "folder":
            path.mkdir()
    elif how == "noise":
        path.write_bytes(chance.randbytes(chance.randrange(200)))
    elif how == "bytes" and data:
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2] + b"\0\xff" * 5)

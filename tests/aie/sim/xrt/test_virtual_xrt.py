"""The virtual XRT as a C++ program sees it: correct use, and each mistake in using it.

Every mistake is tested with the checks off, where it behaves as on silicon, and with
the checks on, where it is an error.
"""

import pytest

COMPLETED, ERROR, ABORT, TIMEOUT = "4", "5", "6", "8"


@pytest.fixture
def run(execute, folder):
    """A function that runs a case and returns the lines printed and the state of C."""

    def run(case, checks="on", **environment):
        done = execute(case, JAX_NPU_SIM_CHECKS=checks, **environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout.splitlines(), folder.c

    return run


def test_a_run_completes_with_the_product(run, either):
    assert run("right", either) == ([COMPLETED], "right")


def test_a_run_can_be_started_again(run, either):
    assert run("twice", either) == ([COMPLETED, COMPLETED], "right")


def test_a_list_runs_in_order_as_one_command(run, either):
    assert run("list", either) == ([COMPLETED], "right")


def test_the_host_sees_nothing_before_its_sync(run, either):
    assert run("c_before_its_sync", either) == ([COMPLETED, "untouched"], "right")


@pytest.mark.parametrize("case", ["wrong_group", "wrong_flags"])
def test_a_wrong_memory_group_completes_and_does_nothing(run, case):
    assert run(case, "off") == ([COMPLETED], "untouched")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("wrong_group", "argument 3 (data buffer 0) lies in memory group "),
        ("wrong_flags", "argument 1 (the instructions) lies in memory group "),
        ("a_changed_after_its_sync", "argument 3 (data buffer 0) was changed since"),
        ("instructions_never_synced", "argument 1 (the instructions) was changed"),
        ("b_synced_in_part", "argument 4 (data buffer 1) was changed since"),
        ("long_list", "a list takes 24 runs, this one has 25"),
        ("wrong_opcode", "argument 0 (the opcode) must be 3, got 1"),
    ],
)
def test_checks_refuse_what_would_go_wrong_with_the_reason(run, case, message):
    (line,), _ = run(case)
    assert line.startswith(message)


def test_a_forgotten_sync_computes_with_old_data(run):
    # The host's change never reached the device, which has the original.
    assert run("a_changed_after_its_sync", "off") == ([COMPLETED], "right")
    assert run("b_synced_in_part", "off")[0] == [COMPLETED]


def test_b_synced_in_part_is_zero_beyond(run):
    assert run("b_synced_in_part", "off") == ([COMPLETED], "wrong")


def test_instructions_that_were_never_synced_do_not_run(run):
    lines, c = run("instructions_never_synced", "off")
    assert (lines, c) == ([TIMEOUT], "untouched")


def test_the_fifth_command_waits_for_the_first(run):
    assert run("five_commands", "off") == ([COMPLETED], "right")


def test_checks_refuse_a_fifth_command(run):
    # The first never ends, so the fifth is one too many however slow the host is.
    (line,), c = run("five_commands_not_waited_for", JAX_NPU_SIM_FAULTS="stuck@1")
    assert line.startswith("a context takes 4 commands at a time")
    assert c == "untouched"


def test_a_wrong_opcode_is_an_error(run):
    assert run("wrong_opcode", "off") == ([ERROR], "untouched")


def test_a_hang_is_a_timeout(run):
    assert run("hang", "off") == ([TIMEOUT], "untouched")
    assert run("hang_waited_for_with_wait2", "off")[0] == [
        f"{TIMEOUT} the run ended with state {TIMEOUT}"
    ]


def test_checks_report_what_hung(run):
    (line,), c = run("hang")
    assert "shim (0, 0)" in line
    assert c == "untouched"
    assert run("hang_waited_for_with_wait2")[0] == [f"{TIMEOUT} {line}"]


def test_after_a_hang_only_a_new_context_works(run):
    assert run("after_a_hang", "off") == ([TIMEOUT, ABORT, COMPLETED], "right")
    (_, line, last), c = run("after_a_hang")
    assert line == "a run of this context hung; open a new context"
    assert (last, c) == (COMPLETED, "right")


def test_a_list_reports_which_run_failed(run):
    (line,), _ = run("list_with_a_hang")
    assert line.startswith(f"{TIMEOUT} ")
    assert "shim (0, 0)" in line
    (line,), _ = run("list_with_a_hang", "off")
    assert line == f"{TIMEOUT} the run ended with state {TIMEOUT}"


def test_a_list_takes_no_run_of_another_context(run, either):
    (line,), _ = run("list_of_another_context", either)
    assert "is of another context" in line


def test_a_run_beyond_the_time_limit_is_a_timeout(run, folder):
    lines = folder.gemm.configuration.splitlines()
    limit = "param time.run_limit_seconds "
    assert any(line.startswith(limit) for line in lines)
    short = [f"{limit}1e-9" if line.startswith(limit) else line for line in lines]
    folder.write_design("\n".join(short) + "\n")
    assert run("right", "off")[0] == [TIMEOUT]
    (line,), _ = run("right")
    assert "of device time" in line


def test_a_third_context_computes_garbage(run):
    assert run("three_contexts", "off") == ([COMPLETED, COMPLETED], "wrong")


def test_checks_refuse_a_third_context(run):
    lines, _ = run("three_contexts")
    assert lines[0] == COMPLETED
    assert lines[1].startswith("a third context in a process computes garbage")


def test_contexts_that_were_closed_do_not_count(run, either):
    lines, c = run("contexts_one_after_the_other", either)
    assert (lines, c) == ([COMPLETED] * 8, "right")


def test_npu1_has_six_contexts(run):
    (line,), _ = run("seven_contexts", "off")
    assert line.startswith("all 6 contexts of npu1 are taken")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no_device", "No such device with index '1'"),
        ("no_design", "is not a design for the virtual NPU"),
        ("no_kernel", "No such kernel 'GEMM'"),
        ("sync_beyond_the_buffer", "bytes from byte 4 of a buffer of"),
    ],
)
def test_what_is_not_there_is_an_error(run, either, case, message):
    (line,), _ = run(case, either)
    assert message in line


def test_the_program_is_one_for_the_real_xrt_too(compile_program, xrt_headers):
    compile_program("-isystem", xrt_headers, "-fsyntax-only")


def test_a_bad_switch_is_named(execute):
    done = execute("right", JAX_NPU_SIM_CHECKS="perhaps")
    assert "JAX_NPU_SIM_CHECKS must be on or off, got perhaps" in done.stderr

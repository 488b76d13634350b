"""A process of several that ends in the middle ends at once, with its own code, and no other waits for it."""

import pytest

from dhauds_jax import errors
from tests.children import address, child

LOST = "error: another process of this run ended, and said why if it could: give the same command to all of them again"


def ended(how, which):
    """Exit codes and stderr of two processes of which `which` ends in the middle, and the other waits for it."""
    place = address()
    processes = [child(1, "tests.command.ends_alone", place, number, how, which) for number in range(2)]
    try:
        said = [process.communicate(timeout=240)[1] for process in processes]  # before, 300 s passed
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], said


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("refused", 2, "error: nothing to read\n"),
        pytest.param("bug", 1, "LookupError: a bug\nthis is a bug, please report it", marks=pytest.mark.slow),
        pytest.param("stopped", 130, "stopped by the user\n", marks=pytest.mark.slow),
    ],
)
def test_the_second_process_ends_at_once_and_the_first_says_that_it_is_gone(how, code, said):
    """Before, each waited for the other one, for 300 s, and then both were aborted with 60 lines on stderr."""
    codes, (first, second) = ended(how, 1)
    assert codes == [2, code] and said in second
    assert first.splitlines()[-1].startswith(LOST)


@pytest.mark.slow
def test_the_first_process_ends_at_once_and_takes_the_second_with_it():
    """What the second says is the library's, whose service the first one runs: it may be aborted."""
    codes, (first, _) = ended("refused", 0)
    assert codes[0] == 2 and "error: nothing to read\n" in first
    assert codes[1] != 0


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("UNKNOWN: Gloo AllGather failed: [pair.cc:538] Read error [127.0.0.1]:5525: Connection reset by peer", True),
        ("UNKNOWN: Gloo all-reduce failed: Connection closed by peer [127.0.0.1]:28", True),
        ("INTERNAL: NCCL operation ncclGroupEnd() failed: remote process exited or there was a network error", True),
        ("UNAVAILABLE: The coordination service sent an error: heartbeat timeout", True),
        ("INTERNAL: Gloo context was not made", False),
        ("Connection reset by peer", False),
    ],
)
def test_a_lost_process_is_known_by_what_the_library_says(text, lost):
    assert errors.lost_process(RuntimeError(text)) == lost
    assert not errors.lost_process(ValueError(text))


@pytest.mark.slow
def test_a_command_whose_folder_went_while_it_saved_ends(tmp_path):
    """It said so, and then waited for threads of Orbax's, which wait for the folder, for ten minutes and more."""
    process = child(1, "tests.command.ends_waiting", tmp_path / "work")
    try:
        _, said = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 2
    assert said.splitlines()[-1].endswith("leaves.orbax-checkpoint-tmp: No such file or directory")

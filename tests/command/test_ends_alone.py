"""A process of several that ends in the middle ends at once, with its own code, and the others say that it is gone."""

import pytest

from dhauds_jax import errors
from tests.children import address, child


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("refused", 2, "error: nothing to read\n"),
        pytest.param("bug", 1, "LookupError: a bug\nthis is a bug, please report it", marks=pytest.mark.slow),
        pytest.param("stopped", 130, "stopped by the user\n", marks=pytest.mark.slow),
    ],
)
def test_neither_process_waits_for_the_other(how, code, said):
    """Before, each waited for the other one, for 300 s, and then both were aborted with 60 lines on stderr."""
    place = address()
    processes = [child(1, "tests.command.ends_alone", place, number, how) for number in range(2)]
    try:
        (_, first), (_, second) = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert processes[1].returncode == code and said in second
    assert processes[0].returncode == 2
    assert first.splitlines()[-1].startswith("error: another process of this run ended, and said why if it could: give")


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

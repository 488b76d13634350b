"""Ctrl-C between two steps."""

import signal
import threading

import pytest

from dhauds_jax import interrupts


def test_ctrl_c_waits_for_the_step_and_a_second_one_does_not():
    before = signal.getsignal(signal.SIGINT)
    done = []
    with interrupts.deferred() as asked:
        for step in range(5):
            if step == 2:
                signal.raise_signal(signal.SIGINT)
            done.append(step)
            if asked():
                break
    assert done == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), interrupts.deferred() as asked:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_step_goes_on_where_nobody_reads_what_is_said(monkeypatch):
    """Of `2>&1 | tee` Ctrl-C ends tee first."""

    class Gone:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(interrupts.sys, "stderr", Gone())
    with interrupts.deferred() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()


def test_another_thread_goes_on_as_ever():
    found = []

    def work():
        with interrupts.deferred() as asked:
            found.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]

"""Ctrl-C while a model adapts and keeps no states."""

import signal

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.model import adapting
from dhauds_jax.model.adapting import Request
from dhauds_jax.tta import protocols
from dhauds_jax.types import AdaptState
from dhauds_jax.workdir.saver import Saver


@pytest.fixture
def stream(monkeypatch):
    """A stream of four batches of two windows, in the second of which Ctrl-C comes so many times."""

    def run(times, saver=None):
        def online(run, state, *args, **kwargs):
            for index in range(4):
                for _ in range(times if index == 1 else 0):
                    signal.raise_signal(signal.SIGINT)
                after = state._replace(step=state.step + index + 1)
                rows = np.arange(2 * index, 2 * index + 2)
                yield protocols.StreamStep(index, after, rows, np.full((2, 3), index, np.float32), {})

        monkeypatch.setattr(adapting.protocols, "online", online)
        first, before = AdaptState({}, (), (), jnp.int32(0)), np.full((8, 3), 9, np.float32)
        how = Request("tent", {}, online=True)
        return adapting._stream(how, None, first, np.zeros((8, 4), np.float32), 2, before, saver, False)

    return run


def test_without_a_saver_ctrl_c_waits_for_the_step_too(stream, capsys):
    """It broke the step off, whose state was gone."""
    outcome = stream(1)
    assert (outcome.interrupted, outcome.position, int(outcome.state.step)) == (True, 2, 2)
    assert outcome.logits[:, 0].tolist() == [0, 0, 1, 1, 9, 9, 9, 9]
    assert capsys.readouterr().err == "\nCtrl-C: stops after this step; once more stops at once\n"
    assert not stream(0).interrupted


@pytest.mark.parametrize("kept", [True, False])
def test_a_second_ctrl_c_ends_it_and_nothing_of_the_broken_step_is_written(stream, tmp_path, kept):
    """It went on to write a state whose buffers were given away: "Array has been deleted"."""
    with pytest.raises(KeyboardInterrupt):
        stream(2, Saver(tmp_path / "state", 1e9) if kept else None)
    assert not (tmp_path / "state").exists()

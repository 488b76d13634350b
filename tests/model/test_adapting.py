"""Ctrl-C while a model adapts and keeps no states, and whose statistics it starts from."""

import itertools
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.model import adapting
from dhauds_jax.model.adapting import Request
from dhauds_jax.tta import methods, protocols, settling
from dhauds_jax.types import AdaptState
from dhauds_jax.workdir.saver import Saver
from tests.tta import tiny


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


_SEEN = itertools.count()


def latest(logits):
    """A criterion by which every epoch is better than the one before."""
    return float(next(_SEEN))


def adapted(profile, method="norm", **changes):
    """Running means of a tiny network, those of the set, and what an offline adaptation comes to."""
    net = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(net, tiny.LENGTH)
    how = Request(method, methods.resolve_options(method, profile, {}), profile, batch_size=8, **changes)
    method, waves = adapting.method_of(how, net), tiny.waves()
    before = np.zeros((len(waves), tiny.CLASSES), np.float32)
    outcome = adapting.adapt(how, net, method, variables, waves, before, None, progress=False)
    wanted = settling.settled(net, variables, waves, 8, protocols.evaluation_order(jax.random.key(0), len(waves)))
    return (*(tree["batch_stats"]["encoder"]["batch_norm"]["mean"] for tree in (variables, wanted)), outcome)


def test_in_profile_corrected_the_running_statistics_are_the_sets_before_the_first_update():
    """Before, three updates went 27 % of the way from the source model's: 93 telephone clips had 32 % so, 66 online."""
    far = {}
    for profile in ("reference", "corrected"):
        source, wanted, outcome = adapted(profile, epochs=1, criterion="tests.model.test_adapting:latest")
        last = outcome.state.variables["batch_stats"]["encoder"]["batch_norm"]["mean"]
        assert outcome.position == 1
        far[profile] = float(np.linalg.norm(last - wanted) / np.linalg.norm(source - wanted))
    assert far["reference"] == pytest.approx(0.9**3, abs=0.05)
    assert far["corrected"] < 0.05


def test_auto_may_keep_the_source_model_itself():
    """Of 22 clips it is always kept; its copy was taken after the statistics were the set's, which are of another."""
    source, wanted, outcome = adapted("corrected", "auto", epochs=1, criterion="tests.model.test_adapting:latest")
    assert outcome.position == 1 and outcome.curve[1]["chose_source"] == 1.0
    memory = outcome.state.memory
    for variables in (outcome.state.variables, memory.source):
        np.testing.assert_array_equal(variables["batch_stats"]["encoder"]["batch_norm"]["mean"], source)
    followed = memory.states[0].variables["batch_stats"]["encoder"]["batch_norm"]["mean"]
    assert np.linalg.norm(followed - wanted) < 0.5 * np.linalg.norm(source - wanted)


def test_ctrl_c_while_the_first_epoch_is_prepared_waits_too(monkeypatch):
    """Its step is traced there, which takes seconds of a large network: it ended without labels."""

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return follows(*args)

    follows = settling.follows
    monkeypatch.setattr(settling, "follows", interrupted)
    _, _, outcome = adapted("corrected", epochs=2)
    assert outcome.interrupted and outcome.logits.shape == (tiny.CLIPS, tiny.CLASSES)

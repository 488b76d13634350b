"""experiments.adapt that is killed: the same command goes on to the same record."""

import pytest

from dhauds_jax.cells import loops, running
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.tta import protocols
from dhauds_jax.workdir import records
from tests.runs import adapt_runs
from tests.runs.adapt_runs import a_run, without_cost


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return adapt_runs.made(tmp_path_factory.mktemp("adapt"))


class Killed(Exception):
    """Stands for SIGKILL at a chosen moment."""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "protocol", "after"), [("norm", "offline", 2), ("norm", "online", 1)])
def test_a_killed_run_resumes_to_the_same_record(place, tmp_path, monkeypatch, method, protocol, after):
    changes = {"method": [method], "protocol": [protocol], "batch_size": 4}
    adapt(a_run(place, tmp_path / "whole", **changes), "c")
    original = getattr(protocols, protocol)
    sat = []

    def dies(*args, **kwargs):
        for item in original(*args, **kwargs):
            sat.append(item.index)
            yield item
            if item.index >= after:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, protocol, dies)
        with pytest.raises(Killed):
            adapt(a_run(place, tmp_path / "killed", **changes), "c")
    assert records.read(tmp_path / "killed") == []
    again = []

    def watched(*args, **kwargs):
        for item in original(*args, **kwargs):
            again.append(item.index)
            yield item

    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, protocol, watched)
        adapt(a_run(place, tmp_path / "killed", **changes), "c")
    assert again[0] == after + 1, "the finished part is not run again"
    whole, resumed = (records.read(tmp_path / name)[0] for name in ("whole", "killed"))
    assert without_cost(whole) == without_cost(resumed)
    assert not (tmp_path / "killed" / "state" / whole["cell"]).exists()


@pytest.mark.slow
def test_a_run_killed_at_its_record_keeps_its_last_state_until_the_record_is_there(
    place, tmp_path, monkeypatch, capsys
):
    """Before, the state was removed first, and the whole adaptation was lost."""
    run = a_run(place, tmp_path, method=["source"], corruption=["clean"], protocol=["offline"])

    def dies(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(records, "append", dies)
        with pytest.raises(Killed):
            adapt(run, "c")
    (state,) = (tmp_path / "state").iterdir()
    assert [step.name for step in state.iterdir()] == ["00000001"]
    assert "work: 1 cell of 15 clips, 4 passes over them in all " in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(running.Saver, "clear", dies)
        with pytest.raises(Killed):
            adapt(run, "c")
    # Before, it said the four passes again; one is always left, since the record is.
    said = "work: 1 cell of 15 clips, 1 pass over them left (a backward pass counts as two); 1 of them goes on where"
    assert said in capsys.readouterr().err
    (record,) = records.read(tmp_path)
    assert (record["cell"], state.exists()) == (state.name, True)
    assert adapt(run, "c").startswith("0 records written, 1 was there already")
    assert not state.exists()

"""What a command that embeds has done so far: parts in their order, those of another command refused."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.workdir.vector_parts import Clip, Parts
from tests.workdir.test_vectors import a_folder, values


def clips(count, first=0):
    """Some clips, every third of them bad."""
    rows = values(count + first)
    return [
        Clip(None, digest="x", bad="no such file")
        if i % 3 == 2
        else Clip(rows[i], 0.1 * i, i, i > 1, False, "d", (("loud", 2.5),))
        for i in range(first, first + count)
    ]


def test_parts_are_read_back_in_their_order(tmp_path):
    parts = Parts(tmp_path, {"a": 1})
    parts.add(clips(4))
    parts.add([])
    parts.add(clips(3, 4))
    again = Parts(tmp_path, {"a": 1})
    assert (again.clips, again.skipped, again.finished) == (7, 2, False)
    found = [clip for some in again.read() for clip in some]
    assert all(
        np.array_equal(one.vector, other.vector)
        for one, other in zip(found, clips(7), strict=True)
        if one.vector is not None
    )
    assert [clip._replace(vector=None) for clip in found] == [clip._replace(vector=None) for clip in clips(7)]
    assert all(clip.vector is None for some in again.read(vectors=False) for clip in some)
    again.remove()
    assert Parts(tmp_path, {"a": 2}).clips == 0


def test_parts_and_embeddings_of_another_command_are_refused(tmp_path):
    identity = {"encoder": {"hash": "a"}, "listing": "1", "long": "first"}
    Parts(tmp_path, identity).add(clips(2))
    assert not Parts(tmp_path, {**identity, "listing": "2"}, alike=("listing",)).same_listing
    for changes, other in (({"listing": "2"}, "listing"), ({"encoder": {"hash": "b"}}, "hash")):
        with pytest.raises(BadInput, match=rf"the parts of unfinished embeddings of another command \(other {other}\)"):
            Parts(tmp_path, {**identity, **changes})
    a_folder(tmp_path / "done", **identity)
    assert Parts(tmp_path / "done", identity).finished
    with pytest.raises(BadInput, match=r"holds embeddings of another command \(other long\)"):
        Parts(tmp_path / "done", {**identity, "long": "windows"})


def test_what_killed_commands_left_is_removed_or_said(tmp_path):
    identity = {"long": "first"}
    a_folder(tmp_path, **identity)
    left = tmp_path / "vectors.npy.tmp-host-7-0"
    left.write_bytes(b"half")
    (tmp_path / "parts").mkdir()
    assert Parts(tmp_path, identity).finished
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.csv", "manifest.json", "vectors.npy"]
    lost = Parts(tmp_path / "lost", identity)
    lost.add(clips(2))
    lost.add(clips(2, 2))
    parts = tmp_path / "lost" / "parts"
    (parts / "00000000-00000002.npz").unlink()
    with pytest.raises(BadInput, match="lacks the part that begins with clip 0; remove the folder"):
        list(lost.read())
    # Before, a folder that was moved away while a command wrote there could not be gone on with.
    assert Parts(tmp_path / "lost", identity).clips == 0
    assert [path.name for path in parts.iterdir()] == ["run.json"]

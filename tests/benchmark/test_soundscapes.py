"""`--what=soundscapes`: a row a profile, every soundscape written in each round."""

from dhauds_jax.benchmark import soundscapes
from dhauds_jax.data.soundscapes import writing


def test_each_profile_writes_all_of_them_in_each_round(monkeypatch):
    real, made = writing.write_atomically, []
    monkeypatch.setattr(writing, "write_atomically", lambda path, content: (made.append(path), real(path, content)))
    rows = list(soundscapes.rows(0.5, batch=2, rounds=3))
    assert [row["of"] for row in rows] == ["reference", "corrected"]
    for row in rows:
        assert (row["what"], row["batch"], row["clip_seconds"]) == ("soundscapes", 2, 0.5)
        assert row["cpu_seconds"] > 0 and row["ms_per_clip"] == 500 * row["cpu_seconds"]
        assert row["fastest"] <= row["seconds"] <= row["slowest"]
    assert len(set(made)) == len(made) == 2 * 4 * 2 * 2, "profiles, calls, soundscapes, wav and annotation"

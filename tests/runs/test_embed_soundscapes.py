"""experiments.embed of what experiments.soundscapes wrote: labels, folds, groups and backgrounds come along."""

import csv
import shutil

import pytest

from dhauds_jax.data.soundscapes import sources
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import soundscapes, zeroshot_backgrounds, zeroshot_sets
from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.runs.requests.soundscapes import SoundscapesRun
from dhauds_jax.workdir import vectors
from dhauds_jax.zeroshot.request import ZeroshotGrid
from tests.data.soundscapes import small
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two soundscapes of each of five clips in a park; the clips' folds are their takes."""
    folder = small.make(tmp_path_factory.mktemp("embed_soundscapes"))
    tiny.make_checkpoint(folder / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        found = sources.sets.get("folder", str(folder / "events"))._replace(fold=lambda clip: clip[-5])
        patch.setattr(sources.sets, "get", lambda name, place: found)  # a folder of recordings is asked for no set
        run = SoundscapesRun(
            foreground_dir=str(folder / "events"),
            background_dir=str(folder / "backgrounds" / "park"),
            output=str(folder / "out"),
            seconds=1.0,
            event_seconds=0.5,
            onset="uniform:0,0.6",
            sample_rate=small.RATE,
            n=2,
        )
        soundscapes.run_command(run)
    return folder


def an_embed(place, output, **changes):
    run = EmbedRun(checkpoint=str(place / "checkpoint"), audio_dir=str(place / "out" / "park"), output=str(output))
    return run.replace(**changes)


def index(place):
    with (place / "out" / "park" / "index.csv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def known(found):
    """What embeddings know, by clip."""
    rows = zip(found.ids, found.folds, found.groups, found.backgrounds, strict=True)
    return {clip: tuple(each) for clip, *each in rows}


def test_a_scene_s_soundscapes_have_what_its_index_knows(place, tmp_path, capsys):
    embed(an_embed(place, tmp_path / "a"), "c")
    told = capsys.readouterr().out
    assert "park holds soundscapes of scene park: label, fold, group and background of each are those of its" in told
    found, rows = vectors.read(tmp_path / "a"), index(place)
    assert len(found.ids) == len(rows) == 10 and found.classes == ("bell", "dog")
    for clip, label in zip(found.ids, found.labels, strict=True):
        row = rows[clip]
        assert found.classes[label] == row["label"] == clip.split("/")[0]
        assert known(found)[clip] == (row["fold"], row["group"], row["background"])
        assert row["group"] == f"{clip.rpartition('-park-')[0]}.wav" and row["fold"] == row["group"][-5]
    assert found.manifest["source"]["scene"] == "park"
    (one,) = zeroshot_sets.of_vectors([found], ["a"], folds="5")
    for group in set(found.groups):
        assert len({int(fold) for fold, its in zip(one.fold, found.groups, strict=True) if its == group}) == 1
    grid = ZeroshotGrid(workdir="w", background=("text",))
    assert zeroshot_backgrounds.words(grid, [one], None) == [("park",) * 10], "not the names of its recordings' files"


def test_as_a_data_set_they_keep_their_folds_and_backgrounds(place, tmp_path, capsys):
    run = an_embed(place, tmp_path / "a", audio_dir=None, dataset="folder", data_dir=str(place / "out" / "park"))
    embed(run.replace(split=("train", "val", "test")), "c")
    assert "soundscapes of scene park: fold, group and background of each are" in capsys.readouterr().out
    found, rows = vectors.read(tmp_path / "a"), index(place)
    assert known(found) == {clip: (row["fold"], row["group"], row["background"]) for clip, row in rows.items()}
    assert found.splits is not None and found.classes == ("bell", "dog")


def test_a_truth_of_one_s_own_and_other_tables_hold(place, tmp_path):
    """Also what an earlier version wrote, without groups, is known."""
    folder = tmp_path / "park"
    shutil.copytree(place / "out" / "park", folder)
    (tmp_path / "mine.csv").write_text("file,label\n" + "".join(f"{file},sound\n" for file in index(place)))
    run = an_embed(place, tmp_path / "mine", audio_dir=str(folder))
    embed(run.replace(truth=str(tmp_path / "mine.csv")), "c")
    found = vectors.read(tmp_path / "mine")
    assert (found.classes, found.folds, "scene" in found.manifest["source"]) == (("sound",), None, False)
    table = [row.split(",") for row in (folder / "index.csv").read_text().splitlines()]
    (folder / "index.csv").write_text("\n".join(",".join(row[:3] + row[4:]) for row in table))
    embed(run.replace(output=str(tmp_path / "old")), "c")
    found = vectors.read(tmp_path / "old")
    assert found.groups is None and found.folds is not None and found.classes == ("bell", "dog")
    (folder / "index.csv").write_text("file,label\n" + "".join(f"{file},sound\n" for file in index(place)))
    embed(run.replace(output=str(tmp_path / "other")), "c")
    assert vectors.read(tmp_path / "other").labels is None
    (folder / "index.csv").write_text(",".join(table[0]) + "\n")
    with pytest.raises(BadInput, match=r"park/index\.csv: names none of the recordings, expected names such as 'bell/"):
        embed(run.replace(output=str(tmp_path / "none")), "c")

"""What names a cell: the content of the data, of lists and of plug-ins; what is made only when it is needed."""

import numpy as np
import pytest

from dhauds_jax.cells import read_sets, running, subsets, targets, worklist
from dhauds_jax.cells.cell import cell_id
from dhauds_jax.cells.checking import check
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.data import content, sets
from dhauds_jax.data.corruptions import noise
from dhauds_jax.data.loading import Clips
from dhauds_jax.nets import zoo
from dhauds_jax.types import SourceData
from tests.runs.adapt_runs import a_run

WORDS = sets.get("synthetic")


def some_clips(seed=0, ids="abcde"):
    waves = (np.random.default_rng(seed).normal(size=(len(ids), 2_250)) * 0.1).astype(np.float32)
    lengths = np.full(len(ids), 2_250, np.int32)
    return Clips(tuple(ids), waves, np.arange(len(ids), dtype=np.int32), lengths, WORDS.classes, 16_000)


@pytest.fixture(scope="module")
def source():
    classifier = zoo.build(zoo.preset("amaut_tiny", WORDS.classes))
    data = SourceData(np.zeros((7, 4), np.float32), np.zeros(7, np.int32))
    return SourceModel(classifier, {}, "weights", data, frozenset(["eata"]), "of seven clips")


def cells(source, tmp_path, clips=None, sourced=None, **changes):
    """The cells' names by method and protocol, of a run on a few clips."""
    changes = {"dataset": "synthetic", "method": ["tent", "eata"], "protocol": ["offline"], "noise_dir": None} | changes
    run = a_run(tmp_path, tmp_path, **changes)
    clips = some_clips() if clips is None else clips
    loaded, checked = targets.Loaded(WORDS, clips, 2_000), check(run)
    digest, source = content.of_split(clips), sourced or source
    return {
        (method, protocol): worklist.cell_of(run, checked, source, work, protocol, method, digest)
        for work in worklist.works_of(run, loaded, checked.pairs)
        for protocol in work.protocols
        for method in run.method
    }


def names(*args, **changes):
    return {key: cell_id(cell, "weights") for key, cell in cells(*args, **changes).items()}


def test_other_samples_labels_or_ids_under_the_same_names_are_other_cells(source, tmp_path):
    clips = some_clips()
    louder = clips._replace(waves=clips.waves.copy())
    louder.waves[3, 1_000] += 1e-6
    relabelled = clips._replace(labels=clips.labels[::-1])
    found = [
        names(source, tmp_path, c)["tent", "offline"] for c in (clips, louder, relabelled, some_clips(ids="abcdf"))
    ]
    assert len(set(found)) == 4
    assert names(source, tmp_path, some_clips()) == names(source, tmp_path, clips)


def test_a_list_of_clips_counts_by_what_it_lists_and_not_by_its_name(source, tmp_path):
    loaded = targets.Loaded(WORDS, some_clips(), 2_000)
    digests = []
    for name, text in (("one", "a\nc\n"), ("two", "a\nc\n"), ("one", "a\nd\n")):
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        digests.append(content.of_split(subsets.only(loaded, str(path)).clips))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.slow
def test_other_noise_recordings_under_the_same_names_are_other_cells(source, tmp_path, monkeypatch):
    same = {"corruption": ["ENSC"], "level": ["L2"]}
    before = cells(source, tmp_path, **same)["tent", "offline"]
    bank = noise.synthetic_bank("ENSC", "L2", sample_rate=16_000)
    quieter = bank._replace(waves=[0.5 * wave for wave in bank.waves])
    monkeypatch.setattr(targets, "synthetic_bank", lambda *args, **kwargs: quieter)
    after = cells(source, tmp_path, **same)["tent", "offline"]
    assert before.draw == after.draw, "the lengths, and so the draws, are the same"
    assert dict(before.content)["noise"] != dict(after.content)["noise"]
    assert cell_id(before, "w") != cell_id(after, "w")
    assert "noise" not in dict(cells(source, tmp_path)["tent", "offline"].content), "white noise takes no recordings"


def test_recordings_that_are_read_one_by_one_count_by_name_and_size(tmp_path):
    paths = [tmp_path / name for name in ("x.wav", "y.wav")]
    for path, size in zip(paths, (5, 6), strict=True):
        path.write_bytes(b"0" * size)
    bank = noise.NoiseBank(("a/x", "a/y"), noise.Recordings(paths, 16_000), 16_000)
    first = content.of_bank(bank)
    assert first == content.of_bank(bank)
    paths[1].write_bytes(b"0" * 7)
    assert first != content.of_bank(bank)
    assert content.of_bank(None) is None


def test_source_clips_name_the_cells_of_methods_that_need_them_alone(source, tmp_path):
    other = source._replace(data=SourceData(np.zeros((9, 4)), np.zeros(9)), data_digest="of nine clips")
    seven, nine = cells(source, tmp_path), cells(source, tmp_path, sourced=other)
    assert seven["tent", "offline"] == nine["tent", "offline"]
    assert (seven["eata", "offline"].source_clips, nine["eata", "offline"].source_clips) == (7, 9)
    samples = cells(source, tmp_path, sourced=source._replace(data_digest="of seven others"))
    assert len({cell_id(found["eata", "offline"], "w") for found in (seven, nine, samples)}) == 3


def test_source_clips_reach_the_methods_that_need_them_alone(source, tmp_path):
    """Before, one such method in a run handed them to all."""
    clips = some_clips()
    target = targets.Target(clips.waves, clips.labels, "accuracy")
    for (method, _), cell in cells(source, tmp_path).items():
        info = running._info(cell, source, target, running.plan_of(cell, (1, 1)))
        assert info.source is (source.data if method == "eata" else None)
        assert (info.clips, info.classes) == (5, len(WORDS.classes))


def test_the_second_view_names_another_cell_where_it_is_looked_at(source, tmp_path):
    both = {"protocol": ["offline", "online"], "method": ["tent"]}
    plain, viewed = names(source, tmp_path, **both), names(source, tmp_path, agreement=True, **both)
    assert plain["tent", "online"] == viewed["tent", "online"]
    assert plain["tent", "offline"] != viewed["tent", "offline"]


def test_a_plug_in_counts_by_its_source(source, tmp_path, monkeypatch):
    work = worklist.Work("WHN", "L2", ("offline",), (), lambda: None)
    run = a_run(tmp_path, tmp_path, dataset="synthetic", method=["mine:make"])
    (tmp_path / "mine.py").write_text("make = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = worklist.cell_content(run, source, work, "offline", "mine:make", "clips")
    (tmp_path / "mine.py").write_text("make = 2\n")
    second = worklist.cell_content(run, source, work, "offline", "mine:make", "clips")
    assert [name for name, _ in first] == ["clips", "method_source"]
    assert first[0] == second[0] and first[1] != second[1]
    assert worklist.cell_content(run, source, work, "offline", "tent", "clips") == (("clips", "clips"),)


def test_settings_that_are_not_the_presets_name_another_cell(source, tmp_path):
    """Before, another normalisation or hop under the same weights was taken for done."""
    work = worklist.Work("WHN", "L2", ("offline",), (), lambda: None)
    run = a_run(tmp_path, tmp_path, dataset="synthetic")
    preset = source.classifier.config
    others = (
        preset.replace(front_end={**preset.front_end, "hop": preset.front_end["hop"] + 1}),
        preset.replace(geometry={**preset.geometry, "dropout": 0.25}),
        preset.replace(net="custom"),
        preset.replace(source={"file": "elsewhere.pt"}),
        preset,
    )
    found = [
        dict(worklist.cell_content(run, one, work, "offline", "tent", "clips")).get("config")
        for one in (source._replace(classifier=source.classifier._replace(config=config)) for config in others)
    ]
    assert all(len(digest) == 16 for digest in found[:3])
    assert len(set(found[:3])) == 3
    assert found[3:] == [None, None], "ordinary cells keep their names"


def test_naming_a_cell_corrupts_nothing_and_a_target_is_made_once(source, tmp_path, monkeypatch):
    made = []
    real = targets.corrupt
    monkeypatch.setattr(targets, "corrupt", lambda *args, **kwargs: made.append(1) or real(*args, **kwargs))
    run = a_run(tmp_path, tmp_path, dataset="synthetic", noise_dir=None, draw="two", protocol=["offline", "online"])
    loaded = targets.Loaded(WORDS, some_clips(), 2_000)
    works = list(worklist.works_of(run, loaded, [("WHN", "L2")]))
    assert ([work.protocols for work in works], made) == ([("offline",), ("online",)], [])
    first = works[0].target()
    assert works[0].target() is first
    assert np.shares_memory(works[1].target().waves, first.waves), "both protocols adapt to one draw"
    assert len(made) == 2 and not np.allclose(first.waves, first.evaluation)


@pytest.mark.parametrize(
    ("draw", "corruption", "protocol", "another"),
    [
        ("two", "WHN", ["offline"], True),
        ("two", "WHN", ["online", "offline"], True),
        ("two", "WHN", ["online"], False),
        ("two", "clean", ["offline"], False),
        ("single", "WHN", ["offline"], False),
        ("single", "clean", ["online"], False),
    ],
)
def test_another_draw_is_reported_by_epochs_over_a_corruption_of_two_draws(
    tmp_path, draw, corruption, protocol, another
):
    run = a_run(tmp_path, tmp_path, dataset="synthetic", noise_dir=None, draw=draw, protocol=protocol)
    assert worklist.reports_another(run, corruption) is another


def test_streams_over_sets_read_from_a_folder_say_so(tmp_path, monkeypatch):
    def read(loaded, folder, corruption, level, **how):
        assert how == {"split": "test", "allow_partial": False}
        waves = loaded.clips.waves[:, :2_000]
        draw = (("draw", "single"), ("draw_seed", "read"), ("draw_checksum", f"samples:{corruption}"))
        return targets.Corrupted(lambda: waves, draw)

    monkeypatch.setattr(read_sets, "read_corrupted", read)
    loaded = targets.Loaded(WORDS, some_clips(), 2_000)
    pairs = [("WHN", "L2"), ("PSH", "L2")]
    run = a_run(tmp_path, tmp_path, dataset="synthetic", adaptation_dir="there", protocol=["continual", "gradual"])
    works = list(worklist.works_of(run, loaded, pairs))
    assert [dict(work.draw)["draw_seed"] for work in works] == ["read"] * 3
    assert dict(works[0].draw)["draw_checksum"] == "samples:WHN+samples:PSH"
    assert works[0].target().waves.shape == (10, 2_000)
    drawn = next(worklist.works_of(run.replace(adaptation_dir=None), loaded, pairs))
    assert dict(drawn.draw)["draw_seed"] == 1

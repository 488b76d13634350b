"""docs/extending.md: every example is taken from the page, written into a package and run as a user would run it."""

import hashlib
import importlib
import re
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax import names
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import corruptions as C
from dhauds_jax.data.loading import load_split
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.precision import compiled
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.learn import learn
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.learn import LearnRun
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.train.request import TrainOptions, TrainRun
from dhauds_jax.tta import protocols, selection
from dhauds_jax.workdir import records
from tests.incremental.learning import KEY, embeddings, info_for, shots
from tests.runs import zeroshot_sets

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`my_sounds/(\w+)\.py`\n\n```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
METHOD, GAP, HUMS, NET = (
    "my_sounds.methods:tilt",
    "my_sounds.corruptions:GAP",
    "my_sounds.sets:HUMS",
    "my_sounds.nets:tiny",
)
BACKWARDS, MARGIN = "my_sounds.protocols:BACKWARDS", "my_sounds.criteria:margin"
LEARNER = "my_sounds.learners:nearest"
HERTZ = {"low": 300, "middle": 900, "high": 2_000}
TAKES = {"train": 4, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder of the package that the page holds; Python finds it."""
    folder = tmp_path_factory.mktemp("mine") / "my_sounds"
    folder.mkdir()
    for name, text in {"__init__": "", **FILES}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder.parent))
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_sounds"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def hums(tmp_path_factory):
    """A folder of hums: a tone a class, a noise a take."""
    folder = tmp_path_factory.mktemp("hums")
    time = np.arange(4_000) / 16_000
    for split, takes in TAKES.items():
        (folder / split).mkdir()
        for name, hertz in HERTZ.items():
            for take in range(takes):
                noise = np.random.default_rng([hertz, take, len(split)]).normal(size=4_000)
                wave = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise
                soundfile.write(folder / split / f"{name}_{take}.wav", wave, 16_000, subtype="PCM_16")
    return folder


def a_run(hums, workdir, checkpoint_folder, **changes):
    run = AdaptRun(
        dataset=HUMS,
        data_dir=str(hums),
        checkpoint=str(checkpoint_folder),
        method=[METHOD],
        options=["lr=0.05"],
        corruption=[f"{GAP}:long"],
        protocol=["offline", BACKWARDS],
        criterion=MARGIN,
        epochs=2,
        batch_size=3,
        workdir=str(workdir),
    )
    return run.replace(**changes)


def digest(package, name):
    return hashlib.sha256((package / f"{name}.py").read_bytes()).hexdigest()[:16]


def test_the_page_has_an_example_of_every_kind_and_true_places():
    assert list(FILES) == ["methods", "corruptions", "sets", "nets", "protocols", "criteria", "scorers", "learners"]
    for table in re.findall(r"\| `([A-Z_]+)`", PAGE):
        assert hasattr(names, table), table
    for name in (METHOD, f"{GAP}:long", HUMS, NET, BACKWARDS, MARGIN, LEARNER):
        assert f"={name} " in PAGE or f",{name} " in PAGE, name


def test_the_corruption_silences_a_drawn_stretch_and_draws_the_same_in_any_order(package):
    waves = np.random.default_rng(0).normal(size=(40, 500)).astype(np.float32)
    ids = [f"test/{i}.wav" for i in range(40)]
    cell = {"corruption": GAP, "level": "long", "seed": 3, "dataset": HUMS, "sample_rate": 16_000, "length": 500}
    found, draws = C.corrupt(waves, ids, **cell)
    lost = found == 0
    assert set(lost.sum(1)) == {100, 150}
    assert np.array_equal(lost.sum(1), np.round(draws.choices["width"] * 500))
    assert np.array_equal(np.abs(np.diff(lost.astype(int), axis=1)).sum(1) <= 2, np.full(40, True))
    assert len({int(row.argmax()) for row in lost}) > 20
    assert np.array_equal(found[~lost], waves[~lost])
    rows = np.random.default_rng(1).permutation(40)[:17]
    some, _ = C.corrupt(waves[rows], [ids[row] for row in rows], **cell)
    assert some.tobytes() == found[rows].tobytes()
    short = C.corrupt(waves, ids, **{**cell, "level": "short"})[0]
    assert set((short == 0).sum(1)) == {25, 50}


def test_the_data_set_is_read_and_says_what_it_misses(package, hums, tmp_path):
    clips = load_split(HUMS, hums, "test", sample_rate=16_000, length=4_000, progress=False)
    assert clips.ids == tuple(f"test/{name}_{take}.wav" for name in ("high", "low", "middle") for take in range(3))
    assert clips.labels.tolist() == [2, 2, 2, 0, 0, 0, 1, 1, 1] and clips.classes == ("low", "middle", "high")
    peaks = np.abs(np.fft.rfft(clips.waves)).argmax(1) * 4
    assert peaks.tolist() == [2_000] * 3 + [300] * 3 + [900] * 3
    with pytest.raises(BadInput, match=r"holds no val/\*\.wav, expected the folder of the hums"):
        load_split(HUMS, tmp_path, "val", sample_rate=16_000, length=4_000, progress=False)


def test_the_network_is_built_and_is_what_its_layers_say(package):
    net = zoo.build(zoo.preset(NET, ["low", "middle", "high"]))
    wave = np.random.default_rng(0).normal(size=(2, 4_000)).astype(np.float32)
    variables = net.init(jax.random.key(0), jnp.asarray(wave))
    assert zoo.parameter_count(variables) == 24 * 16 + 16 + 2 * 16 + 16 * 3 + 3
    outputs, _ = jax.jit(lambda v, w: net.apply(v, w, mode=EVAL))(variables, wave)
    params, features = jax.tree.map(np.asarray, variables["params"]), np.asarray(net.features(jnp.asarray(wave)))
    embed, head = params["encoder"]["embed"], params["head"]
    pooled = np.maximum(features @ embed["kernel"] + embed["bias"], 0).mean(1)
    centred = pooled - pooled.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(pooled.var(-1, keepdims=True) + 1e-6)
    kernel, bias = net.head(variables)
    embedding = scaled * head["layer_norm"]["scale"] + head["layer_norm"]["bias"]
    np.testing.assert_allclose(outputs.logits, embedding @ np.asarray(kernel) + np.asarray(bias), atol=1e-4)


def test_the_protocol_and_the_criterion(package):
    found = importlib.import_module("my_sounds.protocols").backwards(None, 4, 1, None, {})
    assert found.rows.tolist() == [3, 2, 1, 0] and found.domains.tolist() == [0, 0, 0, 0]
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]]))
    assert selection.CRITERIA[MARGIN](logits) == pytest.approx((0.5 + 0.1) / 2)
    selection.check(MARGIN)


@pytest.fixture(scope="module")
def untrained(package, tmp_path_factory):
    config = zoo.preset(NET, tuple(HERTZ))
    variables = zoo.build(config).init(jax.random.key(1), jnp.zeros((2, 4_000)))
    return checkpoint.save(tmp_path_factory.mktemp("net") / "checkpoint", variables, config)


def test_the_scorer(package, tmp_path):
    place = zeroshot_sets.write(tmp_path)
    run = zeroshot_sets.run_of(place, tmp_path / "out", scorer=("plain", "my_sounds.scorers:median"))
    assert zeroshot(run, "zeroshot").startswith("2 rows written")
    park = zeroshot_sets.drawn()[1]
    _, made = zeroshot_sets.by_hand(park, park)
    vectors, right = zeroshot_sets.unit(park.astype(np.float64)), []
    for fold, prototypes in enumerate(made):
        clips, labels = vectors[fold == zeroshot_sets.FOLD], zeroshot_sets.LABELS[fold == zeroshot_sets.FOLD]
        right.append(np.mean(((clips - np.median(clips, 0)) @ prototypes.T).argmax(1) == labels))
    row = zeroshot_sets.rows(tmp_path / "out")[1]
    assert row["folds"] == pytest.approx(right) and row["uses"] == ["set", "train_labels"]
    assert row["options"] == {"share": 1.0} and row["scorer_source"] == digest(package, "scorers")


def test_the_learner_takes_the_nearest_mean_in_the_plane(package):
    learner = compiled(learners.make(LEARNER, None, {"sharpness": "2"}))
    rows, labels = embeddings(classes=3, each=4, width=5)
    state = learner.init({}, info_for(5, classes=4), KEY)
    for number, chosen in enumerate((labels < 2, labels == 2)):
        state, _ = learner.learn(state, shots(rows[chosen], labels[chosen], 10), jax.random.fold_in(KEY, number))
    found = np.asarray(learner.predict(state, rows)["nearest"], np.float64)
    assert np.isneginf(found[:, 3]).all() and state.seen.tolist() == [1, 1, 1, 0]
    means = np.stack([rows[labels == k].mean(0) for k in range(3)]).astype(np.float64)
    distances = np.square(rows[:, None] - means).sum(-1)
    wanted = np.square(rows.astype(np.float64)).sum(-1, keepdims=True) - distances  # 2 (x . m - |m|^2 / 2)
    np.testing.assert_allclose(found[:, :3], wanted, atol=1e-4)
    head = learner.as_head(state, "nearest")
    made = rows @ np.asarray(head.params["kernel"]) + np.asarray(head.params["bias"])
    np.testing.assert_allclose(made[:, :3], wanted, atol=1e-4)
    assert learner.bytes_held(state) == 3 * 4 * 6


def test_what_the_learner_learnt_is_a_checkpoint(package, hums, untrained, tmp_path):
    for file in (hums / "train").glob("*.wav"):
        (tmp_path / "in" / file.stem.partition("_")[0]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "in" / file.stem.partition("_")[0])
    run = LearnRun(
        checkpoint=str(untrained),
        audio_dir=str(tmp_path / "in"),
        learner=LEARNER,
        options=["sharpness=0.5"],
        output=str(tmp_path / "out"),
    )
    assert learn(run, "c").startswith("3 classes known: ")
    _, config, extra = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert config.classes == ("high", "low", "middle") and config.head["kind"] == "prototypes"
    assert (extra["learner"]["name"], extra["learner"]["options"]) == (LEARNER, {"sharpness": 0.5})


@pytest.mark.slow
def test_a_run_of_them_all_names_them_in_its_records(package, hums, untrained, tmp_path):
    run = a_run(hums, tmp_path, untrained)
    assert adapt(run, "c").startswith("2 records written: ")
    offline, backwards = records.read(tmp_path)
    named = {"dataset": HUMS, "corruption": GAP, "level": "long", "method": METHOD, "net": NET}
    for record in (offline, backwards):
        assert {key: record[key] for key in named} == named and record["n"] == 9
        assert record["options"]["lr"] == 0.05 and record["selection"]["criterion"] == MARGIN
        kinds = {
            "dataset": "sets",
            "corruption": "corruptions",
            "method": "methods",
            "net": "nets",
            "criterion": "criteria",
        }
        sources = {f"{kind}_source": digest(package, name) for kind, name in kinds.items()}
        assert sources.items() <= record["content"].items()
        margins = [point["criteria"][MARGIN] for point in record["curve"]]
        assert all(0 < margin < 1 for margin in margins)
        assert record["selection"]["epoch"] == int(np.argmax(margins))
        assert 0 <= record["adapted_selected"] <= 1
    assert (offline["protocol"], backwards["protocol"]) == ("offline", BACKWARDS)
    assert "protocol_source" not in offline["content"]
    assert backwards["content"]["protocol_source"] == digest(package, "protocols")
    assert backwards["stream_checksum"] == protocols.order_checksum(np.arange(9)[::-1])
    entropies = [point["losses"]["entropy"] for point in offline["curve"][1:]]
    assert 0 < entropies[1] < entropies[0] < np.log(3)
    ids = [f"test/{name}_{take}.wav" for take in range(3) for name in HERTZ]
    draws = C.draw_set(ids, dataset="hums", corruption=GAP, level="long", seed=run.seed)
    assert C.checksum(ids, draws, corruption=GAP, level="long")[:16] == offline["options"]["draw_checksum"]
    assert [file.name for file in (tmp_path / "examples").iterdir()] == ["my_sounds.corruptions.GAP-long.npz"]


@pytest.mark.slow
def test_a_changed_file_makes_other_cells_and_the_same_one_none(package, hums, untrained, tmp_path):
    run = a_run(hums, tmp_path, untrained, protocol=[BACKWARDS], method=["source", METHOD], options=[])
    adapt(run, "c")
    assert adapt(run, "c").startswith("0 records written, 2 were there already")
    for name, written in (("methods", "1 record written"), ("nets", "2 records written")):
        file = package / f"{name}.py"
        before = file.read_text(encoding="utf-8")
        file.write_text(f"{before}# another version\n", encoding="utf-8")
        assert adapt(run, "c").startswith(written), name
        file.write_text(before, encoding="utf-8")
    assert adapt(run, "c").startswith("0 records written, 2 were there already")


def test_levels_may_be_flags_and_wrong_names_end_in_a_sentence(package, hums, untrained, tmp_path):
    run = a_run(hums, tmp_path / "out", untrained)
    for changes, message in (
        ({"corruption": [GAP]}, "unknown level 'L2': expected short or long"),
        (
            {"corruption": ["my_sounds.corruptions:GAB:long"]},
            "module my_sounds.corruptions has no 'GAB', expected .*GAP",
        ),
        ({"criterion": "my_sounds.criteria:np"}, "criterion 'my_sounds.criteria:np' is a module, expected a function"),
        ({"method": ["my_sounds.method:tilt"]}, "there is no module 'my_sounds.method'"),
    ):
        with pytest.raises(BadInput, match=message):
            adapt(run.replace(**changes), "c")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_network_is_trained_adapted_and_reported(package, hums, tmp_path):
    options = TrainOptions(epochs=20, batch_size=6, views=("shift",), optimiser="adam", lr=0.02)
    run = TrainRun(dataset=HUMS, data_dir=str(hums), net=NET, workdir=str(tmp_path / "train"), options=options)
    train_and_save(run, "c")
    assert train_and_save(run, "c").startswith("already trained: ")
    _, config, extra = checkpoint.load(tmp_path / "train" / "checkpoint")
    history = extra["training"]["history"]
    assert config.net == NET and config.classes == tuple(HERTZ) and len(history) == 20
    assert history[-1]["loss"] < 0.8 * history[0]["loss"] and history[-1]["validation"] == 1.0
    adapt(a_run(hums, tmp_path, tmp_path / "train" / "checkpoint", corruption=[GAP], level=["short", "long"]), "c")
    found = records.read(tmp_path)
    assert [(r["level"], r["protocol"]) for r in found] == [
        (level, protocol) for level in ("short", "long") for protocol in ("offline", BACKWARDS)
    ]
    assert all(1 / 3 < r["non_adapted"] <= 1 for r in found)
    write_report([str(tmp_path)])
    report = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert METHOD in report and GAP in report and HUMS in report

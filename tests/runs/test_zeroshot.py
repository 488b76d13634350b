"""experiments.zeroshot: every number worked out by hand in float64, finished rows are not run again, and the report."""

import json

import numpy as np
import pytest

from dhauds_jax import metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, clap_prompts
from dhauds_jax.nets.clap_zoo import PRESETS, build_audio_text
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.tta import selection
from dhauds_jax.types import Background
from dhauds_jax.zeroshot import background, choose, prototypes, reference, request
from tests.nets.clap import variables_of, write_vocabulary
from tests.runs import tiny
from tests.runs.zeroshot_sets import CLASSES, CLIPS, FOLD, FOLDS, LABELS, by_hand, drawn, rows, run_of, unit, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def accuracy(scores):
    return float(np.mean(scores.argmax(1) == LABELS))


def test_flags_name_what_there_is():
    assert request.PROTOTYPES == prototypes.KINDS
    assert ("none", *background.KINDS) == request.BACKGROUNDS


def test_plain_and_subtract_are_the_numbers_by_hand(place, tmp_path, capsys):
    run = run_of(place, tmp_path, background=("audio",), scorer=("plain", "subtract"), weight=("0.5", "auto"))
    said = zeroshot(run, "zeroshot")
    assert said == f"3 rows written: {tmp_path / 'zeroshot.jsonl'}"
    _, park, recordings, own = drawn()
    plain, made = by_hand(park, park)
    other = np.stack([  # corrected: the mean of the scene's recordings but for the clip's own
        np.mean([recordings[k] for k in range(5) if (k > 2) == (o > 2) and k != o], 0) for o in own
    ])  # fmt: skip
    taken = np.einsum("nd,nkd->nk", unit_rows(other, recordings), made[FOLD])
    curve = [plain - w * taken for w in choose.WEIGHTS]
    right = [accuracy(scores) for scores in curve]
    said_of = [selection.information(20 * scores) for scores in curve]
    first, fixed, auto = rows(tmp_path)
    assert first["non_adapted"] == first["adapted_last"] == pytest.approx(accuracy(plain))
    np.testing.assert_allclose([p["metric"] for p in fixed["curve"]], right, atol=1e-9)
    np.testing.assert_allclose([p["criterion"] for p in fixed["curve"]], said_of, atol=1e-5)
    assert fixed["adapted_last"] == right[5] and fixed["weight"] == 0.5 and fixed["weight_chosen_by"] == "given"
    chosen = int(np.argmax(said_of))
    assert fixed["selection"]["weight"] == auto["weight"] == choose.WEIGHTS[chosen]
    assert fixed["adapted_selected"] == auto["adapted_last"] == right[chosen]
    assert fixed["adapted_oracle"] == max(right)
    assert fixed["folds"] == pytest.approx([np.mean((curve[5].argmax(1) == LABELS)[f == FOLD]) for f in range(FOLDS)])
    assert fixed["ece"] == pytest.approx(metrics.ece(20 * curve[5], LABELS), abs=1e-5)
    assert fixed["nll"] == pytest.approx(metrics.nll(20 * curve[5], LABELS), abs=1e-5)
    assert fixed["uses"] == ["background", "own_background", "train_labels"]
    assert auto["uses"] == ["background", "own_background", "set", "train_labels"]
    line = next(line for line in capsys.readouterr().out.splitlines() if "weight 0.5" in line)
    assert line.startswith(f"park supervised (same) subtract weight 0.5 audio: {100 * right[5]:.1f} (plain ")
    assert line.endswith("; uses background, own_background, train_labels")


def unit_rows(other, recordings):
    """The recordings are of unit length already; their means are taken as they are."""
    np.testing.assert_allclose(np.linalg.norm(recordings, axis=1), 1, atol=1e-6)
    return other.astype(np.float64)


def test_the_reference_profile_is_the_published_arithmetic(place, tmp_path):
    run = run_of(place, tmp_path, background=("audio",), scorer=("subtract",), profile="reference")
    zeroshot(run, "zeroshot")
    _, park, recordings, own = drawn()
    own_background = Background(recordings[own], "oracle", recordings)
    text = np.eye(3, park.shape[1], dtype=np.float32)
    wanted = reference.published("sv", unit(park).astype("f4"), LABELS, FOLD, text, own_background)
    (row,) = rows(tmp_path)
    assert (row["normalised"], row["scale"], row["train"], row["n"]) == (False, 1.0, "same", CLIPS)
    np.testing.assert_allclose(100 * np.array(row["folds"]), wanted.accuracy[:-1], atol=1e-4)
    assert 100 * row["adapted_last"] == pytest.approx(wanted.accuracy[-1], abs=1e-4)


def test_prototypes_of_the_clean_set(place, tmp_path):
    run = run_of(place, tmp_path, ("clean", "park"), train=("same", "clean"))
    zeroshot(run, "zeroshot")
    clean, park, *_ = drawn()
    found = {(row["dataset"], row["train"]): row["adapted_last"] for row in rows(tmp_path)}
    assert found == pytest.approx({
        ("clean", "clean"): accuracy(by_hand(clean, clean)[0]),
        ("park", "same"): accuracy(by_hand(park, park)[0]),
        ("park", "clean"): accuracy(by_hand(park, clean)[0]),
    })  # fmt: skip


def test_centre_at_once_and_one_after_the_other(place, tmp_path, capsys):
    zeroshot(run_of(place, tmp_path, scorer=("centre", "tda")), "zeroshot")
    assert "left out: scorer tda: tda takes clips one after the other, which is --online" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"^--scorer=tda: takes clips one after the other, expected --online"):
        zeroshot(run_of(place, tmp_path, scorer=("tda",)), "zeroshot")
    zeroshot(run_of(place, tmp_path, scorer=("centre", "em"), online=True, seed=4), "zeroshot")
    assert "left out: scorer em online: em looks at all clips at once" in capsys.readouterr().out
    _, park, *_ = drawn()
    _, made = by_hand(park, park)
    vectors, whole, online = unit(park.astype(np.float64)), np.zeros((CLIPS, 3)), np.zeros((CLIPS, 3))
    for f in range(FOLDS):
        members = np.flatnonzero(f == FOLD)
        whole[members] = (vectors[members] - vectors[members].mean(0)) @ made[f].T
        order = np.random.default_rng([4, f]).permutation(members)
        for count, row in enumerate(order, 1):  # a mean that begins with eight clips' worth of nothing
            online[row] = (vectors[row] - vectors[order[:count]].sum(0) / (count + 8)) @ made[f].T
    at_once, after = rows(tmp_path)
    assert (at_once["adapted_last"], after["adapted_last"]) == pytest.approx((accuracy(whole), accuracy(online)))
    assert (at_once["protocol"], after["protocol"]) == ("set", "online")
    assert at_once["uses"] == ["set", "train_labels"] and after["uses"] == ["past", "train_labels"]
    assert after["nll"] == pytest.approx(metrics.nll(20 * online, LABELS), abs=1e-5)


def test_a_chain_is_its_parts(place, tmp_path):
    zeroshot(run_of(place, tmp_path, scorer=("chain:subtract+em",), background=("audio",)), "zeroshot")
    _, park, recordings, own = drawn()
    _, made = by_hand(park, park)
    other = np.stack([np.mean([recordings[k] for k in range(5) if (k > 2) == (o > 2) and k != o], 0) for o in own])
    scores = np.zeros((CLIPS, 3))
    for f in range(FOLDS):
        members = np.flatnonzero(f == FOLD)
        clips, means = unit(unit(park.astype(np.float64)) - 0.5 * other)[members], made[f]
        for _ in range(10):
            soft = np.exp(20 * clips @ means.T)
            means = unit(made[f] + (soft / soft.sum(1, keepdims=True)).T @ clips)
        scores[members] = clips @ means.T
    (row,) = rows(tmp_path)
    assert row["adapted_last"] == pytest.approx(accuracy(scores))
    assert row["nll"] == pytest.approx(metrics.nll(20 * scores, LABELS), abs=1e-4)
    assert row["options"]["subtract.weight"] == 0.5


def test_finished_rows_are_kept_and_other_data_is_another_row(place, tmp_path):
    given = {"background": ("audio", "oracle"), "scorer": ("plain", "subtract")}
    zeroshot(run_of(place, tmp_path, **given), "zeroshot")
    again = zeroshot(run_of(place, tmp_path, **given, weight=("0.5", "0.8")), "zeroshot")
    assert again.startswith("2 rows written, 3 were there already")
    other = write(place / "other", vectors=drawn()[1] + np.float32(0.01))
    assert zeroshot(run_of(other, tmp_path, **given), "zeroshot").startswith("3 rows written:")
    assert len({row["cell"] for row in rows(tmp_path)}) == 8


def test_quiet_clips_are_those_that_no_class_explains(place, tmp_path):
    zeroshot(run_of(place, tmp_path, background=("quiet",), scorer=("subtract",)), "zeroshot")
    _, park, *_ = drawn()
    plain, made = by_hand(park, park)
    taken = unit(park.astype(np.float64))[np.argsort(plain.max(1), kind="stable")[:3]].mean(0)
    (row,) = rows(tmp_path)
    scores = plain - 0.5 * np.einsum("d,nkd->nk", taken, made[FOLD])
    assert row["nll"] == pytest.approx(metrics.nll(20 * scores, LABELS), abs=1e-5)
    assert row["uses"] == ["background", "set", "train_labels"]


def test_the_choice_of_a_weight_reads_no_label(place, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(choose, "choose", lambda some, *more: seen.append(some) or choose.Chosen(3, (0.0,) * len(some)))
    zeroshot(run_of(place, tmp_path, background=("audio",), scorer=("subtract",), weight=("auto",)), "zeroshot")
    assert all(scores.shape == (CLIPS, 3) for scores in seen[0])
    assert rows(tmp_path)[0]["weight"] == choose.WEIGHTS[3]


def test_report_reads_records_alone(place, tmp_path):
    run = run_of(place, tmp_path, background=("audio",), scorer=("plain", "subtract", "centre"), weight=("0.5", "auto"))
    zeroshot(run, "zeroshot")
    said = write_report([str(tmp_path)], html=True, formats=("csv",))
    assert said.startswith("4 records reported") and "1 table" in said
    text = (tmp_path / "report" / "report.md").read_text()
    fixed = rows(tmp_path)[1]
    low, high = min(fixed["folds"]), max(fixed["folds"])
    assert f"{100 * fixed['adapted_last']:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in text
    assert "| own_background | the background of each clip |" in text
    best = max((row for row in rows(tmp_path) if row["weight"] != 0.5), key=lambda row: row["selection"]["value"])
    wanted = f"prefers, without labels: supervised (same): {best['scorer']}"
    assert wanted in text and f", accuracy {100 * best['adapted_last']:.1f}." in text
    assert text.count("](zeroshot-") == 2 and "| dog_bark |" in text
    assert (tmp_path / "report" / "report.html").read_text().count("data:image/png") == 2
    table = (tmp_path / "report" / "tables" / "zeroshot.csv").read_text().splitlines()
    assert len(table) == 5 and table[0].startswith("dataset,corruption,level")


def test_a_published_grid_runs_what_is_there_and_says_what_waits(place, tmp_path, capsys):
    for name, to in {"clean": "us8k", "park": "us8k_park", "places": "tau_urban_2019"}.items():
        (tmp_path / f"{to}.npz").write_bytes((place / f"{name}.npz").read_bytes())
    run = ZeroshotRun(recipe="audiotext:us8k", data_root=str(tmp_path), workdir=str(tmp_path / "out"))
    said = zeroshot(run, "zeroshot")
    assert said.startswith("5 rows written; 6 parts of audiotext:us8k wait:")
    told = capsys.readouterr().out
    assert f"waits: set us8k_airport: {tmp_path / 'us8k_airport'} is not there" in told
    assert "waits: prototypes text and tgap, background text:" in told
    found = [(row["dataset"], row["scorer"], row["weight"]) for row in rows(tmp_path / "out")]
    assert found == [
        ("us8k", "plain", None), ("us8k_park", "plain", None), *(("us8k_park", "subtract", w) for w in (0.2, 0.5, 0.8))
    ]  # fmt: skip
    assert {row["profile"] for row in rows(tmp_path / "out")} == {"reference"}


@pytest.mark.slow
def test_sentences_of_an_audio_text_model(place, tmp_path, capsys):
    config = PRESETS["clap_test"]
    checkpoint.save(tmp_path / "clap", variables_of(), config, beside=lambda made: write_vocabulary(made / "tokenizer"))
    draw, width = np.random.default_rng(0), config.projection["width"]
    vectors = draw.normal(size=(CLIPS, width)).astype("f4")
    write(tmp_path / "sets", vectors=vectors)
    run = run_of(
        tmp_path / "sets", tmp_path / "out", checkpoint=str(tmp_path / "clap"), prototypes=("text", "tgap"), topn=4,
        background=("text",), background_embeddings=(), background_text=("park",),
        scorer=("plain", "subtract", "drift"),
    )  # fmt: skip
    zeroshot(run, "zeroshot")
    assert "note: background text of park: the words 'park'\n" in capsys.readouterr().out
    variables, config, _ = checkpoint.load_audio_text(tmp_path / "clap")
    towers = build_audio_text(config)

    def embedded(texts):
        return clap_prompts.embed_texts(towers, variables, texts, tmp_path / "clap").astype(np.float64)

    anchors = embedded([f"This is a sound of {name.replace('_', ' ')}" for name in CLASSES])
    park = embedded(
        ["This is a sound of park", "Park sounds in the background", "This is a sound of park in the background"]
    )
    clips = unit(vectors.astype(np.float64))
    plain = clips @ anchors.T
    found = {(row["prototypes"], row["scorer"]): row for row in rows(tmp_path / "out")}
    assert found["text", "plain"]["nll"] == pytest.approx(
        metrics.nll(float(towers.scale(variables)) * plain, LABELS), abs=1e-4
    )
    taken = plain - 0.5 * (park.mean(0) @ anchors.T)
    assert found["text", "subtract"]["adapted_last"] == accuracy(taken)
    assert found["text", "subtract"]["uses"] == ["text", "background"]
    assert found["tgap", "plain"]["uses"] == ["text", "train_clips"] and found["tgap", "plain"]["topn"] == 4
    assert found["text", "plain"]["gap"]["distance"] == pytest.approx(
        np.linalg.norm(clips.mean(0) - anchors.mean(0)), abs=1e-5
    )
    assert set(found) == {(p, s) for p in ("text", "tgap") for s in ("plain", "subtract", "drift")}


@pytest.mark.slow
def test_a_corrupted_set_is_embedded_on_the_way(tmp_path, capsys):
    tiny.make_arabic(tmp_path / "data", {"train": 2, "val": 1, "test": 2})
    tiny.make_noises(tmp_path / "noise")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    run = ZeroshotRun(
        checkpoint=str(tmp_path / "checkpoint"), dataset="arabic_speech_commands", data_dir=str(tmp_path / "data"),
        noise_dir=str(tmp_path / "noise"), corruption=("clean", "ENSC"), level=("L1", "L2"),
        workdir=str(tmp_path / "out"), prototypes=("head", "supervised"), background=("audio",),
        scorer=("plain", "subtract"),
    )  # fmt: skip
    assert zeroshot(run, "zeroshot").startswith("10 rows written:")
    assert "left out: background audio of arabic_speech_commands" in capsys.readouterr().out
    found = rows(tmp_path / "out")
    assert {(r["corruption"], r["level"]) for r in found} == {("clean", "-"), ("ENSC", "L1"), ("ENSC", "L2")}
    assert all(0 <= r["own_head"] <= 1 for r in found if r["prototypes"] == "head")
    assert zeroshot(run, "zeroshot").startswith("0 rows written, 10 were there already")
    manifests = list((tmp_path / "out" / "embeddings").rglob("manifest.json"))
    assert len(manifests) == 3
    assert {json.loads(path.read_text())["corruption"]["name"] for path in manifests} == {"clean", "ENSC"}

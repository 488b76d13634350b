"""`classify --class_names`: what it writes is scaled cosines worked out by hand, less the background's, and no more."""

import json

import numpy as np
import pytest

from dhauds_jax.nets import checkpoint, clap_prompts
from dhauds_jax.nets.clap_zoo import build_audio_text
from dhauds_jax.runs.classify import classify
from dhauds_jax.zeroshot import templates
from tests.runs.named import NAMES, by_hand, make_place, probabilities, run_of, softmax, table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("named"))


def test_plain_labels_are_the_nearest_sentences(place, tmp_path, capsys):
    classify(run_of(place, tmp_path / "out"), "classify")
    new, _, anchors, scale = by_hand(place)
    wanted = softmax(scale * new @ anchors.T)
    np.testing.assert_allclose(probabilities(tmp_path / "out"), wanted, atol=2e-5)
    assert [row["label"] for row in table(tmp_path / "out")] == [NAMES[k] for k in wanted.argmax(1)]
    said = capsys.readouterr().out
    assert "classes by name: 3, scorer plain, template laion, scale 100 (checkpoint)" in said
    assert "the correction changed" not in said  # there is none
    variables, config, _ = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert (config.family, config.classes, config.head["kind"]) == ("clap", NAMES, "prototypes")
    np.testing.assert_allclose(variables["params"]["head"]["kernel"], anchors.T, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["0.5", "0"])
def test_a_folder_of_background_is_taken_off(place, tmp_path, weight):
    run = run_of(place, tmp_path / "out", background_dir=str(place / "park"), background_weight=weight)
    classify(run, "classify")
    new, park, anchors, scale = by_hand(place)
    wanted = softmax(scale * (new - float(weight) * park.mean(0)) @ anchors.T)
    np.testing.assert_allclose(probabilities(tmp_path / "out"), wanted, atol=5e-5)


@pytest.mark.slow
def test_a_background_in_words_is_the_mean_of_three_sentences(place, tmp_path):
    classify(run_of(place, tmp_path / "out", background_text="park", background_weight="0.8"), "classify")
    new, _, anchors, scale = by_hand(place)
    variables, config, _ = checkpoint.load_audio_text(place / "clap")
    texts = ["This is a sound of park", "Park sounds in the background", "This is a sound of park in the background"]
    words = clap_prompts.embed_texts(build_audio_text(config), variables, texts, place / "clap").mean(0)
    wanted = softmax(scale * (new - 0.8 * words) @ anchors.T)
    np.testing.assert_allclose(probabilities(tmp_path / "out"), wanted, atol=5e-5)


@pytest.mark.slow
def test_later_runs_need_no_tokenizer(place, tmp_path):
    classify(run_of(place, tmp_path / "a"), "classify")
    (place / "clap" / "tokenizer").rename(place / "aside")
    try:
        classify(run_of(place, tmp_path / "b"), "classify")
        with pytest.raises(ValueError, match="there is no tokenizer; put"):
            classify(run_of(place, tmp_path / "c", template="bare"), "classify")
    finally:
        (place / "aside").rename(place / "clap" / "tokenizer")
    assert (tmp_path / "a/probabilities.csv").read_bytes() == (tmp_path / "b/probabilities.csv").read_bytes()


@pytest.mark.slow
def test_the_weight_is_chosen_and_unknown_named_without_labels(place, tmp_path, capsys):
    options = {"background_dir": str(place / "park"), "background_weight": "auto", "reject_background": 0.0}
    (tmp_path / "truth.csv").write_text("file,label\n" + "".join(f"{k}.wav,{NAMES[k % 3]}\n" for k in range(4)))
    classify(run_of(place, tmp_path / "out", truth=str(tmp_path / "truth.csv"), **options), "classify")
    said = capsys.readouterr().out
    new, park, anchors, scale = by_hand(place)
    profile, held = park[::2].mean(0), park[1::2]
    weights = [round(0.1 * i, 1) for i in range(13)]

    def information(w):
        p = softmax(20 * (new - w * profile) @ anchors.T)
        return -(p.mean(0) * np.log(p.mean(0))).sum() + (p * np.log(p)).sum(1).mean()

    best = max(weights, key=information)
    assert f"weight {best:g} (chosen without labels by information of 13 weights)" in said
    wanted = softmax(scale * (new - best * profile) @ anchors.T)
    np.testing.assert_allclose(probabilities(tmp_path / "out"), wanted, atol=1e-4)
    least = softmax(scale * (held - best * profile) @ anchors.T).max()
    rows = table(tmp_path / "out")
    named = [k for k, row in enumerate(rows) if row["label"] != "unknown"]
    right = sum(NAMES[wanted[k].argmax()] == NAMES[k % 3] for k in named)
    assert f"{len(named)} of 4 files with a truth keep{'s' * (len(named) == 1)} a name" in said
    if named:
        verb = "is" if right == 1 else "are"
        assert f" a name, and {right} of these {verb} right ({100 * right / len(named):.1f} %); the accuracy " in said
    assert "; the accuracy counts all 4, those called unknown by their best class\n" in said
    assert "unknown: by their largest probability (max_probability) less sure than " in said
    assert [row["best"] for row in rows] == [NAMES[k] for k in wanted.argmax(1)]
    assert [row["label"] == "unknown" for row in rows] == (wanted.max(1) <= least + 1e-6).tolist()
    kept = json.loads((tmp_path / "out/checkpoint/extra.json").read_text())["calibration"]
    np.testing.assert_allclose(max(kept["background"]), least, atol=1e-4)


@pytest.mark.slow
def test_recordings_of_the_classes_set_the_threshold_and_templates_are_weighted(place, tmp_path, capsys):
    options = {"reject": 0.3, "template": "ensemble", "template_weights": "entropy"}
    classify(run_of(place, tmp_path / "out", known_dir=str(place / "park"), **options), "classify")
    new, known, _, scale = by_hand(place)
    variables, config, _ = checkpoint.load_audio_text(place / "clap")
    lines = templates.templates("ensemble")
    texts = templates.sentences(NAMES, lines)
    vectors = clap_prompts.embed_texts(build_audio_text(config), variables, texts, place / "clap").astype(np.float64)
    anchors = vectors.reshape(len(lines), len(NAMES), -1)
    p = softmax(scale * np.einsum("nd,tkd->tnk", new, anchors).reshape(-1, len(NAMES))).reshape(
        len(lines), -1, len(NAMES)
    )
    weights = np.exp((p * np.log(p)).sum(-1).mean(-1))
    made = np.einsum("t,tkd->kd", weights / weights.sum(), anchors)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    wanted = softmax(scale * new @ made.T)
    np.testing.assert_allclose(probabilities(tmp_path / "out"), wanted, atol=1e-4)
    least = np.sort(softmax(scale * known @ made.T).max(1))[1]  # 0.3 of four clips: one may be lost
    said = capsys.readouterr().out
    assert float(said.split("less sure than ")[1].split("\n")[0]) == pytest.approx(least, abs=1e-4)
    assert "templates weigh 0." in said and ", chosen without labels" in said
    kept = json.loads((tmp_path / "out/checkpoint/extra.json").read_text())["calibration"]
    assert kept["background"] is None and len(kept["known"]) == 4


@pytest.mark.slow
def test_methods_and_scorers_over_the_set_take_it(place, tmp_path):
    shared = {"background_dir": str(place / "park"), "epochs": 1, "scale": "none"}  # or all is certain
    classify(run_of(place, tmp_path / "tent", method="tent", **shared), "classify")
    classify(run_of(place, tmp_path / "source", **shared), "classify")
    classify(run_of(place, tmp_path / "em", scorer="chain:subtract+em", **shared), "classify")
    found = {name: probabilities(tmp_path / name) for name in ("tent", "source", "em")}
    assert np.abs(found["tent"] - found["source"]).max() > 1e-4
    new, park, anchors, _ = by_hand(place)
    clips = new - 0.5 * park.mean(0)
    clips /= np.linalg.norm(clips, axis=1, keepdims=True)
    means = anchors
    for _ in range(10):
        means = anchors + softmax(20 * clips @ means.T).T @ clips
        means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(found["em"], softmax(clips @ means.T), atol=2e-5)


@pytest.mark.slow
def test_another_file_of_classes_is_another_run(place, tmp_path):
    classify(run_of(place, tmp_path / "out"), "classify")
    own = tmp_path / "classes.txt"
    own.write_text("rain\nsiren\n")
    with pytest.raises(ValueError, match="holds the labels of another run"):
        classify(run_of(place, tmp_path / "out", class_names=str(own)), "classify")
    own.write_text("\n".join(NAMES) + "\n")
    classify(run_of(place, tmp_path / "out", class_names=str(own)), "classify")


@pytest.mark.slow
def test_in_python_names_make_a_model(place):
    import dhauds_jax

    model = dhauds_jax.load(place / "clap", class_names=NAMES)
    new, _, anchors, scale = by_hand(place)
    found = model.predict(place / "new")
    np.testing.assert_allclose(found.probabilities, softmax(scale * new @ anchors.T), atol=2e-5)
    assert model.classes == NAMES
    with pytest.raises(ValueError, match="lines 1 and 2 are both 'Rain'"):
        dhauds_jax.load(place / "clap", class_names=["rain", "Rain"])
    with pytest.raises(ValueError, match=r"give --class_names|with --class_names"):
        dhauds_jax.load(place / "clap")


@pytest.mark.slow
def test_unknown_by_a_scorer_over_the_set_scores_each_held_window_beside_the_recordings(place, tmp_path, capsys):
    options = {
        "background_dir": str(place / "park"),
        "reject_background": 0.0,
        "scorer": "chain:subtract+em",
        "scale": "none",
    }
    classify(run_of(place, tmp_path / "out", **options), "classify")
    new, park, anchors, _ = by_hand(place)
    profile, highest = park[::2].mean(0), 0.0
    for window in park[1::2]:
        clips = np.concatenate([new, window[None]]) - 0.5 * profile
        clips /= np.linalg.norm(clips, axis=1, keepdims=True)
        means = anchors
        for _ in range(10):
            means = anchors + softmax(20 * clips @ means.T).T @ clips
            means /= np.linalg.norm(means, axis=1, keepdims=True)
        highest = max(highest, softmax(clips[-1:] @ means.T).max())
    said = capsys.readouterr().out
    least = float(said.split("less sure than ")[1].split("\n")[0])
    np.testing.assert_allclose(least, highest, atol=1e-4)  # it is printed to four digits
    assert "the checkpoint holds the sentences alone" in said
    assert "calibration" not in json.loads((tmp_path / "out/checkpoint/extra.json").read_text())  # of another scorer


@pytest.mark.slow
def test_after_adaptation_held_windows_are_scored_by_the_adapted_model(place, tmp_path):
    options = {
        "background_dir": str(place / "park"),
        "reject_background": 0.0,
        "method": "tent",
        "epochs": 2,
        "scale": "none",
    }
    classify(run_of(place, tmp_path / "out", options=["lr=0.05"], **options), "classify")
    classify(run_of(place, tmp_path / "source", **{**options, "method": "source"}), "classify")
    found = [
        json.loads((tmp_path / name / "checkpoint/extra.json").read_text())["calibration"]["background"]
        for name in ("out", "source")
    ]
    assert len(found[0]) == len(found[1]) == 2
    assert np.abs(np.subtract(*found)).max() > 1e-4


@pytest.mark.slow
def test_what_is_left_out_of_the_background_is_said(place, tmp_path, capsys):
    (tmp_path / "park").mkdir()
    for path in (place / "park").iterdir():
        (tmp_path / "park" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "park" / "bad.wav").write_bytes(b"RIFF")
    run = run_of(place, tmp_path / "out", background_dir=str(tmp_path / "park"))
    with pytest.raises(ValueError, match=r"bad\.wav"):
        classify(run.replace(on_bad_file="stop"), "classify")
    classify(run, "classify")
    assert "note: background: 1 file skipped, the first: bad.wav" in capsys.readouterr().out

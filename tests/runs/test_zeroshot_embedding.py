"""experiments.zeroshot --dataset: what no embedding mends is refused before it; rows without sentences need none."""

import json

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from dhauds_jax.nets.clap_zoo import PRESETS
from dhauds_jax.runs import zeroshot_embedding, zeroshot_records, zeroshot_rows, zeroshot_towers
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.workdir import records
from tests.nets.clap import variables_of
from tests.runs import tiny
from tests.runs.zeroshot_sets import CLIPS, write


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    checkpoint.save(folder / "clap", variables_of(), PRESETS["clap_test"])  # no tokenizer, no kept sentences
    tiny.make_checkpoint(folder / "classifier")
    return folder


@pytest.mark.parametrize(
    ("net", "changes", "words"),
    [
        ("classifier", {"prototypes": ("text",)}, "--prototypes=text: needs sentences' vectors of an audio-text model"),
        ("classifier", {"scorer": ("drift",)}, "--scorer=drift: needs sentences' vectors"),
        (
            "classifier",
            {"background": ("text",), "background_text": ("park",), "scorer": ("subtract",)},
            "--background=text: needs sentences' vectors",
        ),
        ("classifier", {"background": ("text",), "scorer": ("subtract",)}, "what --dataset=esc50 was recorded over"),
        ("classifier", {"background": ("audio",), "scorer": ("subtract",)}, "--background=audio: needs recordings"),
        ("classifier", {"background": ("chunks",), "scorer": ("subtract",)}, "--dataset=esc50 says of no recording"),
        ("classifier", {"prototypes": ("head",)}, "knows 15 classes (down, ...) and the sets have 50"),
        ("clap", {"prototypes": ("head",)}, "--prototypes=head: needs a classifier"),
        ("clap", {"prototypes": ("text",)}, "have no vector in prompts.npz, and there is no tokenizer"),
    ],
)  # fmt: skip
def test_before_a_clip_is_embedded(nets, tmp_path, monkeypatch, net, changes, words):
    monkeypatch.setattr(zeroshot_embedding, "embed", lambda *some: pytest.fail("embedded"))
    given = {"prototypes": ("supervised",), "data_dir": str(tmp_path), **changes}
    run = ZeroshotRun(dataset="esc50", checkpoint=str(nets / net), workdir=str(tmp_path / "out"), **given)
    with pytest.raises(BadInput) as error:
        zeroshot(run, "zeroshot")
    assert words in str(error.value)


def test_supervised_rows_of_an_audio_text_model_need_no_sentence(nets, tmp_path):
    width = PRESETS["clap_test"].projection["width"]
    write(tmp_path / "sets", vectors=np.random.default_rng(0).normal(size=(CLIPS, width)).astype("f4"))
    run = ZeroshotRun(
        embeddings=(str(tmp_path / "sets" / "park.npz"),), checkpoint=str(nets / "clap"), prototypes=("supervised",),
        workdir=str(tmp_path / "out"), template="hf",
    )  # fmt: skip
    zeroshot(run, "zeroshot")
    assert zeroshot(run.replace(template="laion"), "zeroshot").startswith("0 rows written, 1 was there already")
    (row,) = records.read(tmp_path / "out", "zeroshot")
    assert row["template"] is None and row["gap"] is None and row["scale_chosen_by"] == "checkpoint"


def test_sentences_name_the_rows_that_they_are_part_of():
    def row(kind, scorer):
        return zeroshot_rows.Row(0, "-", kind, "none", scorer, None, False)

    found = {
        (k, s): zeroshot_records.by_sentences(row(k, s)) for k in ("text", "tgap", "supervised") for s in ("plain",)
    }
    assert list(found.values()) == [True, True, False]
    assert zeroshot_records.by_sentences(row("supervised", "chain:centre+drift"))
    assert Towers().text() is None
    run = ZeroshotRun(workdir="out", prototypes=("supervised",))
    assert not any(zeroshot_towers.needs_of(run, []).values())


def test_a_folder_each_corruption_and_level(nets, tmp_path, monkeypatch):
    asked, folders = [], []
    monkeypatch.setattr(zeroshot_embedding, "embed", lambda run, command: asked.append(run))
    monkeypatch.setattr(zeroshot_embedding.vectors, "read_all", lambda places: folders.append(places) or 1 / 0)
    run = ZeroshotRun(
        dataset="esc50", checkpoint=str(nets / "classifier"), workdir="out", prototypes=("supervised",),
        corruption=("clean", "WHN"), level=("L1", "L2"),
    )  # fmt: skip
    for each in (
        run,
        run.replace(level=("L2",)),
        run.replace(seed=1),
        run.replace(profile="reference", train=("clean",)),
    ):
        with pytest.raises(ZeroDivisionError):
            zeroshot_embedding.embedded(each)
    (clean, first, second), one, other, reference = folders
    assert one == [clean, second] and first.name == "WHN-L1" and second.name == "WHN-L2"
    assert asked[3].output == str(second) and asked[1].output == str(second.parent)
    assert other[0] == reference[0] == clean and len({place.parent for place in (first, other[1], reference[1])}) == 3


def test_rows_know_the_precision_that_embedded_them(tmp_path):
    for precision in ("float32", "bfloat16"):
        manifest = np.array(json.dumps({"encoder": {"hash": "x", "precision": precision}}))
        write(tmp_path, manifest=manifest)
        run = ZeroshotRun(embeddings=(str(tmp_path / "park.npz"),), prototypes=("supervised",), workdir=str(tmp_path))
        zeroshot(run, "zeroshot")
    assert [row["precision"] for row in records.read(tmp_path, "zeroshot")] == ["float32", "bfloat16"]

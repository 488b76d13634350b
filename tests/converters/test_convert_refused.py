"""The conversion command: what it says of bad input, and of sources that do not agree with what is given."""

import json

import numpy as np
import pytest

from converters import conversion, families, presets
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from tests.converters.conftest import TINY_CONFIG
from tests.converters.test_convert import CLASSES, encoder_state, head_state, save_torch
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS

torch = pytest.importorskip("torch", reason="reads and writes PyTorch files")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="reads and writes safetensors files")


def test_what_nothing_gives_is_listed_in_full(tmp_path):
    source = save_torch(tmp_path / "a.pt", encoder_state())
    with pytest.raises(ValueError) as error:
        conversion.convert("hubert", [source], tmp_path / "out")
    for name in ("geometry.heads", "geometry.pre_norm", "geometry.layer_drop", "classes", "length", "front_end"):
        assert name in str(error.value)
    assert str(error.value).endswith("by the file's shapes these presets fit: hubert_tiny")
    assert not (tmp_path / "out").exists()


def bad_sources(tmp_path):
    """Case -> (family, sources, config record, words of the sentence)."""
    encoder, head = encoder_state(), head_state()
    good = save_torch(tmp_path / "good.pt", encoder)
    head_file = save_torch(tmp_path / "head.pt", head)
    whole = good.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><html><body>quota exceeded</body></html>")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "noise.pt").write_bytes(bytes(range(7, 200)))
    safetensors_numpy.save_file(encoder, tmp_path / "full.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "full.safetensors").read_bytes()[:5000])
    (tmp_path / "folder").mkdir()
    (tmp_path / "weightless").mkdir()
    (tmp_path / "weightless/config.json").write_text("{}")
    extra = save_torch(tmp_path / "extra.pt", {**encoder, "encoder.strange.weight": np.zeros(3, np.float32)})
    lacking = dict(encoder)
    del lacking["encoder.transformer.layer_norm.bias"]
    other = {**encoder, "encoder.transformer.layer_norm.bias": np.zeros(5, np.float32)}
    amaut = {key: array for key, array in golden_state_dict(str(GOLDENS / "amaut_base.spec.json")).items()}
    small = {"cls_token": amaut["cls_token"], "embedding.restnet.root.0.weight": np.zeros((2, 2, 14), np.float32)}
    torch.save([1, 2], tmp_path / "list.pt")
    return {
        "cut": ("hubert", ["cut.pt"], {}, ["cut.pt", "truncated"]),
        "html": ("hubert", ["page.pt"], {}, ["page.pt", "HTML page"]),
        "empty": ("hubert", ["empty.pt"], {}, ["empty.pt", "is empty"]),
        "noise": ("hubert", ["noise.pt"], {}, ["noise.pt", "no PyTorch file"]),
        "absent": ("hubert", ["absent.pt"], {}, ["absent.pt", "does not exist"]),
        "list": ("hubert", ["list.pt"], {}, ["list.pt", "a list", "state dict"]),
        "cut safetensors": ("hubert", ["cut.safetensors"], {}, ["cut.safetensors", "truncated"]),
        "no config.json": ("hubert", ["folder"], {}, ["folder", "no config.json"]),
        "no weights": ("hubert", ["weightless"], {}, ["weightless", "model.safetensors"]),
        "wrong family": ("amaut", ["good.pt", "head.pt"], {}, ["good.pt", "HuBERT encoder", "AMAuT encoder"]),
        "amaut as hubert": ("hubert", [save_torch(tmp_path / "aut.pt", small).name], {}, ["aut.pt", "AMAuT encoder"]),
        "swapped": ("hubert_classifier", ["head.pt", "good.pt"], {}, ["head.pt", "holds head", "HuBERT encoder"]),
        "one of two": ("hubert_classifier", ["good.pt"], {}, ["1 path", "takes 2", "encoder and head"]),
        "family": ("quux", ["good.pt"], {}, ["'quux'", "hubert_classifier"]),
        "preset": ("hubert", ["good.pt"], {"preset": "amaut_sc2"}, ["'amaut_sc2'", "no hubert network", "--list"]),
        "left over": ("hubert", [extra.name], {}, ["1 key left over", "encoder.strange.weight"]),
        "missing": (
            "hubert",
            [save_torch(tmp_path / "lacking.pt", lacking).name],
            {},
            ["1 missing", "encoder.transformer.layer_norm.bias"],
        ),
        "shape": (
            "hubert",
            [save_torch(tmp_path / "other.pt", other).name],
            {},
            ["1 of another shape", "(5,)", "(24,)"],
        ),
        "classes": (
            "hubert_classifier",
            [good.name, head_file.name],
            {"classes": ["a", "b", "c", "d"]},
            ["has 3 classes", "4 names"],
        ),
        "geometry": ("hubert", ["good.pt"], {"geometry": {"width": 32}}, ["geometry.width is 24", "32 by --config"]),
        "foreign": ("hubert", ["good.pt"], {"widht": 32}, ["foreign keys ['widht']"]),
    }


@pytest.mark.slow
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path):
    cases = bad_sources(tmp_path)
    assert len(cases) == 21
    for case, (family, sources, changes, words) in cases.items():
        (tmp_path / "c.json").write_text(json.dumps({**TINY_CONFIG, **changes}))
        with pytest.raises(ValueError) as error:
            conversion.convert(family, [tmp_path / s for s in sources], tmp_path / "out", config=tmp_path / "c.json")
        for word in words:
            assert word in str(error.value), (case, str(error.value))
        assert "\n" not in str(error.value), case
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.tmp").exists(), case


def test_huggingface_structure_must_agree_with_the_preset(tmp_path, config_file):
    source = tmp_path / "hf"
    source.mkdir()
    safetensors_numpy.save_file(encoder_state("huggingface"), source / "model.safetensors")
    (source / "config.json").write_text(json.dumps({"num_attention_heads": 4, "do_stable_layer_norm": True}))
    with pytest.raises(ValueError, match=r"heads is 4 in the source's config.json, 2 by .*pre_norm is True"):
        conversion.convert("hubert", [source], tmp_path / "out", config=config_file)


def test_huggingface_normalisation_that_differs_is_said(tmp_path, config_file):
    source = tmp_path / "hf"
    source.mkdir()
    safetensors_numpy.save_file(encoder_state("huggingface"), source / "model.safetensors")
    (source / "config.json").write_text("{}")
    (source / "preprocessor_config.json").write_text('{"do_normalize": true}')
    made = conversion.convert("hubert", [source], tmp_path / "out", config=config_file)
    said = "hf: preprocessor_config.json has do_normalize=True (epsilon 1e-07)"
    assert f"{said}, which was taken in place of the preset's normalise=False" in made.notes
    front_end = checkpoint.load_config(tmp_path / "out").front_end
    assert front_end == {"kind": "wave", "normalise": True, "epsilon": 1e-7}
    given = {**TINY_CONFIG, "front_end": {"kind": "wave", "normalise": False}}
    config_file.write_text(json.dumps(given))
    made = conversion.convert("hubert", [source], tmp_path / "out", config=config_file)
    assert f"{said}, but --config's normalise=False was kept" in made.notes
    config_file.write_text(json.dumps({**TINY_CONFIG, "front_end": {"kind": "wave", "normalise": True}}))
    made = conversion.convert("hubert", [source], tmp_path / "out", config=config_file)
    assert f"{said}, but --config's normalise=True (epsilon 1e-05) was kept" in made.notes  # in silence before
    (source / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(
        BadInput, match=r"^hf: preprocessor_config.json has sampling_rate 8000, the preset or --config 1"
    ):
        conversion.convert("hubert", [source], tmp_path / "out", config=config_file)


@pytest.mark.parametrize(
    ("preset", "given", "elsewhere", "words"),
    [
        (
            "hubert_tiny",
            {"classes": CLASSES},
            {},
            "width is 32 by the file's shapes, 24 by preset hubert_tiny; no preset has these shapes",
        ),
        (
            None,
            TINY_CONFIG,
            {},
            "width is 32 by the file's shapes, 24 by preset hubert_tiny; no preset has these shapes",
        ),
        (None, {"geometry": {"width": 24}}, {}, "width is 32 by the file's shapes, 24 by --config"),
        (None, {}, {"width": 24}, "width is 32 by the file's shapes, 24 by the source's config.json"),
        (
            None,
            {"preset": "amaut_tiny"},
            {},
            "--config: preset 'amaut_tiny' is no hubert network, expected hubert_tiny (--list has all)",
        ),
    ],
)
def test_what_disagrees_with_the_shapes_is_named_by_where_it_stands(preset, given, elsewhere, words):
    with pytest.raises(BadInput) as error:
        presets.resolve(families.find("hubert"), {"width": 32}, None, preset, given, elsewhere)
    assert str(error.value).removeprefix("conversion: geometry.") == words


def test_an_unknown_profile_is_refused_for_every_family(tmp_path):
    with pytest.raises(BadInput, match=r"^--profile: 'nonsense', expected reference or corrected$"):
        conversion.convert("hubert", [tmp_path / "a.pt"], tmp_path / "out", profile="nonsense")


def test_reverse_refuses_another_family(tmp_path, config_file):
    conversion.convert("hubert", [save_torch(tmp_path / "a.pt", encoder_state())], tmp_path / "out", config=config_file)
    with pytest.raises(ValueError, match=r"amaut, but the checkpoint .* is of family 'hubert'"):
        conversion.reverse("amaut", tmp_path / "out", tmp_path / "back")


def test_what_is_missing_is_said_before_anything_is_read_or_counted(tmp_path, monkeypatch):
    """Before, an absent file was told as "1 paths, but family amaut takes 2", and a wrong preset after the weights."""
    monkeypatch.setattr(conversion, "read", lambda path: pytest.fail("it was read"))
    there = tmp_path / "there.pt"
    there.write_bytes(b"x")
    for family, sources, given, said in (
        ("amaut", ["absent.pt"], {}, "^--source: absent.pt does not exist, expected a PyTorch"),
        ("amaut", [there, "absent.pt"], {}, "^--source: absent.pt does not exist, expected a PyTorch"),
        ("amaut", [there], {}, "^--source: 1 path, but family amaut takes 2"),
        ("hubert", [there], {"config": "absent.json"}, "^--config: absent.json does not exist"),
        ("hubert", [there], {"preset": "huber"}, "^--preset 'huber' is no hubert network"),
    ):
        with pytest.raises(BadInput, match=said):
            conversion.convert(family, sources, tmp_path / "out", **given)

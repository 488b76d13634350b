"""The conversion command: every source style, there and back to the bit."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from converters import conversion, families, hubert
from converters.mapping import canonical, flatten, to_torch
from converters.names import FAMILIES
from dhauds_jax.nets import checkpoint, zoo
from tests.goldens.golden_weights import golden_array, golden_state_dict
from tests.paths import GOLDENS, golden

torch = pytest.importorskip("torch", reason="reads and writes PyTorch files")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="reads and writes safetensors files")

CLASSES = tuple("abc")
TINY = zoo.preset("hubert_tiny", CLASSES)


@functools.cache
def tiny_shapes():
    """The tiny HuBERT is traced once a process, not for every state."""
    return {path: leaf.shape for path, leaf in flatten(zoo.shapes(zoo.build(TINY))).items()}


def state_of(leaves):
    """Golden arrays of the right shapes for some leaves of the tiny HuBERT."""
    shapes = tiny_shapes()
    state = {}
    for each in leaves:
        template = each.transform.back([np.zeros(shapes[path], np.float32) for path in each.paths])
        state.update({key: golden_array(key, array.shape) for key, array in zip(each.keys, template)})
    return state


def encoder_state(style="torchaudio"):
    return state_of(hubert.encoder_leaves(TINY.geometry, style))


def head_state():
    leaves = [each for each in hubert.leaves(TINY, "torchaudio", True) if each.keys[0].startswith("head/")]
    state = {key.removeprefix("head/"): array for key, array in state_of(leaves).items()}
    return {**state, "bn2.num_batches_tracked": np.asarray(7, np.int64)}


def save_torch(path, state, dtype=None):
    tensors = {key: torch.from_numpy(np.array(array)) for key, array in state.items()}
    torch.save({k: v.to(dtype) if dtype and v.is_floating_point() else v for k, v in tensors.items()}, path)
    return path


def old_weight_norm(state):
    return {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): array
        for key, array in state.items()
    }


def prefixed(prefix, state):
    return {prefix + key: array for key, array in state.items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for key, array in first.items():
        assert array.dtype == second[key].dtype and array.shape == second[key].shape, key
        assert array.tobytes() == second[key].tobytes(), key


def encoder_sources():
    """Name -> (state dict under the names of a file, how it is nested)."""
    audio, face, fair = (encoder_state(style) for style in ("torchaudio", "huggingface", "fairseq"))
    mask = {"masked_spec_embed": golden_array("masked_spec_embed", (24,))}
    heads = {
        "mask_emb": golden_array("mask_emb", (24,)),
        "label_embs_concat": golden_array("label_embs_concat", (5, 8)),
        "final_proj.weight": golden_array("final_proj.weight", (8, 24)),
        "final_proj.bias": golden_array("final_proj.bias", (8,)),
    }
    aux = {"aux.weight": golden_array("aux.weight", (5, 24)), "aux.bias": golden_array("aux.bias", (5,))}
    lm_head = {"lm_head.weight": golden_array("lm_head.weight", (5, 24)), "lm_head.bias": golden_array("lm_b", (5,))}
    return {
        "torchaudio": audio,
        "torchaudio_asr": {**audio, **aux},
        "torchaudio_old_weight_norm": old_weight_norm(audio),
        "torchaudio_data_parallel": prefixed("module.", audio),
        "huggingface": {**face, **mask},
        "huggingface_ctc": {**prefixed("hubert.", {**old_weight_norm(face), **mask}), **lm_head},
        "fairseq": {**old_weight_norm(fair), **heads},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", list(encoder_sources()))
def test_encoder_there_and_back_is_bit_exact(name, tmp_path, config_file):
    state = encoder_sources()[name]
    if name.startswith("huggingface"):
        source = tmp_path / "hf"
        source.mkdir()
        (source / "config.json").write_text(json.dumps({"num_attention_heads": 2, "do_stable_layer_norm": False}))
        safetensors_numpy.save_file(state, source / "model.safetensors")
    elif name == "fairseq":
        source = tmp_path / "fairseq.pt"
        torch.save({"model": {k: torch.from_numpy(v) for k, v in state.items()}, "args": None}, source)
    else:
        source = save_torch(tmp_path / f"{name}.pt", state)
    made = conversion.convert("hubert", [source], tmp_path / "out", config=config_file)
    assert made.used == len(encoder_state())
    assert len(made.ignored) == len(state) - made.used
    (written,) = conversion.reverse("hubert", tmp_path / "out", tmp_path / "back")
    assert_same_bits(state, safetensors_numpy.load_file(written))
    variables, config, _ = checkpoint.load(tmp_path / "out")
    expected = to_torch(
        {"params": {"encoder": variables["params"]["encoder"]}}, hubert.encoder_leaves(TINY.geometry, "torchaudio")
    )
    assert len(expected) == made.used and config.classes == CLASSES
    assert made.checksum == checkpoint.variables_hash(variables)


def test_all_styles_give_the_same_network(tmp_path, config_file):
    audio = encoder_state()
    renamed = {}
    for style in hubert.STYLES:
        pairs = zip(hubert.encoder_leaves(TINY.geometry, "torchaudio"), hubert.encoder_leaves(TINY.geometry, style))
        renamed[style] = {b: audio[a] for ours, theirs in pairs for a, b in zip(ours.keys, theirs.keys)}
    sums = set()
    for style, state in renamed.items():
        source = save_torch(tmp_path / f"{style}.pt", state)
        sums.add(conversion.convert("hubert", [source], tmp_path / style, config=config_file).checksum)
    assert len(sums) == 1


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [
        ("_orig_mod.", ""),
        ("model.", ""),
        ("module._orig_mod.", ""),
        ("_orig_mod.module.", ""),
        ("model.module.", "hubert."),
    ],
)
def test_what_programs_put_before_keys_is_taken_off(prefix, wrapper):
    """Files of torch.compile, of training frameworks and of DataParallel were no HuBERT, or had all keys left over."""
    state = prefixed(prefix + wrapper, encoder_state("huggingface"))
    part = families.part_of(state, families.find("hubert"))
    assert part.holds == "HuBERT encoder" and part.style == "huggingface" and part.wrapper == wrapper
    assert part.state.keys() == encoder_state("huggingface").keys() and part.outer == prefix
    assert {part.outer + part.wrapper + name: key for name, key in part.original.items()} == {key: key for key in state}


def test_marks_of_compiled_parts_and_keys_of_a_program_s_own_are_told_apart():
    state = encoder_state()
    inside = {key.replace("encoder.transformer.", "encoder.transformer._orig_mod."): a for key, a in state.items()}
    part = families.part_of(inside, families.find("hubert"))
    assert part.state.keys() == state.keys() and part.outer == ""
    with_loss = {**prefixed("model.", state), "loss.weight": np.zeros(2, np.float32)}
    part = families.part_of(with_loss, families.find("hubert"))
    assert part.state.keys() - state.keys() == {"loss.weight"} and part.holds == "HuBERT encoder"


def test_a_file_of_a_compiled_network_goes_back_under_its_names(tmp_path, config_file):
    state = prefixed("_orig_mod.", encoder_state())
    torch.save(
        {"model_state_dict": {key: torch.from_numpy(array) for key, array in state.items()}, "best": np.float64(0.9)},
        tmp_path / "best.pt",
    )
    conversion.convert("hubert", [tmp_path / "best.pt"], tmp_path / "out", config=config_file)
    (written,) = conversion.reverse("hubert", tmp_path / "out", tmp_path / "back")
    assert_same_bits(state, safetensors_numpy.load_file(written))


def test_pair_there_and_back_is_bit_exact(tmp_path, config_file):
    encoder, head = encoder_state(), head_state()
    sources = [save_torch(tmp_path / "hubert-X.pt", encoder), save_torch(tmp_path / "clsModel-X.pt", head)]
    made = conversion.convert("hubert_classifier", sources, tmp_path / "out", config=config_file)
    assert made.ignored == ["head/bn2.num_batches_tracked"] and made.parameters == 17_100 + 16 + 2
    written = conversion.reverse("hubert_classifier", tmp_path / "out", tmp_path / "back")
    assert [path.name for path in written] == ["hubert-X.safetensors", "clsModel-X.safetensors"]
    for path, state in zip(written, (encoder, head)):
        assert_same_bits(state, safetensors_numpy.load_file(path))


def test_a_tensor_without_numbers_that_is_set_aside_is_converted_with(tmp_path, config_file):
    """Orbax takes none of it: before, the conversion ended with its traceback, after all its work."""
    encoder, head = encoder_state(), {**head_state(), "bn2.num_batches_tracked": np.zeros(0, np.int64)}
    sources = [save_torch(tmp_path / "encoder.pt", encoder), save_torch(tmp_path / "head.pt", head)]
    made = conversion.convert("hubert_classifier", sources, tmp_path / "out", config=config_file)
    assert made.ignored == ["head/bn2.num_batches_tracked"]
    back = {path.name: path for path in conversion.reverse("hubert_classifier", tmp_path / "out", tmp_path / "back")}
    assert set(safetensors_numpy.load_file(back["head.safetensors"])) == set(head)


def test_sources_of_one_name_go_back_to_two_files(tmp_path):
    files = [{"part": part, "name": "model.pt", "style": "torchaudio"} for part in ("encoder", "head")]
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), zoo.shapes(zoo.build(TINY)))
    checkpoint.save(tmp_path / "out", variables, TINY.replace(source={"files": files}))
    written = conversion.reverse("hubert_classifier", tmp_path / "out", tmp_path / "back")
    assert [path.name for path in written] == ["model-encoder.safetensors", "model-head.safetensors"]
    for path, state in zip(written, (encoder_state(), head_state())):
        assert safetensors_numpy.load_file(path).keys() == state.keys()


def test_head_alone_is_left_random_and_said(tmp_path, config_file):
    made = conversion.convert(
        "hubert", [save_torch(tmp_path / "a.pt", encoder_state())], tmp_path / "out", config=config_file
    )
    assert made.notes == ["the source has no classification head: random weights, seed 0; train before use"]
    variables, _, _ = checkpoint.load(tmp_path / "out")
    assert np.any(variables["params"]["head"]["expand"]["kernel"])


def test_adapted_checkpoint_goes_back_under_the_original_names(tmp_path, config_file):
    """What adaptation saves has other leaves and no set-aside tensors: the counters start afresh."""
    encoder, head = prefixed("module.", old_weight_norm(encoder_state())), head_state()
    sources = [save_torch(tmp_path / "h.pt", encoder), save_torch(tmp_path / "c.pt", head)]
    conversion.convert("hubert_classifier", sources, tmp_path / "out", config=config_file)
    variables, config, _ = checkpoint.load(tmp_path / "out")
    variables["params"]["encoder"]["projection"]["bias"] = variables["params"]["encoder"]["projection"]["bias"] + 1
    checkpoint.save(tmp_path / "adapted", variables, config)
    first, second = conversion.reverse("hubert_classifier", tmp_path / "adapted", tmp_path / "back")
    back = safetensors_numpy.load_file(first)
    key = "module.encoder.feature_projection.projection.bias"
    assert back.keys() == encoder.keys()
    np.testing.assert_array_equal(back[key], encoder[key] + 1)
    assert safetensors_numpy.load_file(second)["bn2.num_batches_tracked"] == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_becomes_float32_and_is_said(dtype, tmp_path, config_file):
    source = save_torch(tmp_path / "half.pt", encoder_state(), getattr(torch, dtype))
    made = conversion.convert("hubert", [source], tmp_path / "out", config=config_file)
    assert any(dtype in note and "float32" in note for note in made.notes)
    variables, _, _ = checkpoint.load(tmp_path / "out")
    bias = variables["params"]["encoder"]["projection"]["bias"]
    original = torch.from_numpy(encoder_state()["encoder.feature_projection.projection.bias"])
    np.testing.assert_array_equal(bias, original.to(getattr(torch, dtype)).float().numpy())
    assert bias.dtype == np.float32


def test_shapes_and_config_make_a_custom_network(tmp_path):
    """The pre-norm golden needs no preset: what its shapes do not show is in the file."""
    state = golden_state_dict(str(GOLDENS / "hubert_prenorm_small_torchaudio.spec.json"))
    rates = {f"{name}dropout": 0.0 for name in ("projection_", "attention_", "inner_", "")}
    record = {
        "geometry": {"heads": 4, "pre_norm": True, "layer_drop": 0.0, **rates},
        "head": {"kind": "audio_classifier", "hidden": 8, "features": 4},
        "front_end": {"kind": "wave", "normalise": True},
        "sample_rate": 16000,
        "length": 16000,
        "classes": ["yes", "no"],
    }
    (tmp_path / "c.json").write_text(json.dumps(record))
    source = save_torch(tmp_path / "small.pt", state)
    conversion.convert("hubert", [source], tmp_path / "out", config=tmp_path / "c.json")
    _, config, _ = checkpoint.load(tmp_path / "out")
    assert (config.net, config.geometry["width"], config.geometry["conv_norm"]) == ("custom", 48, "layer")
    assert config.geometry["conv_bias"] is True and config.geometry["convs"][0] == [32, 10, 5]
    assert config.source["files"][0]["sha256"] and config.source["files"][0]["style"] == "torchaudio"


@pytest.mark.slow
def test_amaut_pair_there_and_back_and_verified(tmp_path):
    """The trained AMAuT of the repository's goldens; PyTorch's side agrees layer by layer."""
    parts = {"encoder": {}, "head": {}}
    for key, array in golden("amaut_arabic15").items():
        part, name = key.split("/", 1)
        if part in parts:
            parts[part][name] = array
    sources = [save_torch(tmp_path / f"{name}.pt", state) for name, state in parts.items()]
    made = conversion.convert("amaut", sources, tmp_path / "out", preset="amaut_arabic15", verify=True)
    assert made.parameters == 1_526_238 - 2 * 192 * 4
    assert len(made.verified) == 11 and max(made.verified.values()) < 2e-5
    for path, state in zip(conversion.reverse("amaut", tmp_path / "out", tmp_path / "back"), parts.values()):
        assert_same_bits(state, safetensors_numpy.load_file(path))


@pytest.mark.parametrize("task", ["us8", "vs", "vs_fce"])
def test_geometry_of_heads_is_inferred(task):
    """Every published head is recognised by its names and shapes alone."""
    from converters.heads import head_leaves, inferred_head

    config = zoo.preset(f"hubert_base_{task}")
    shapes = {path: leaf.shape for path, leaf in flatten(zoo.shapes(zoo.build(config))).items()}
    state = {}
    for each in head_leaves(config.head):
        arrays = each.transform.back([np.zeros(shapes[path], np.float32) for path in each.paths])
        state.update(zip(each.keys, arrays))
    found, classes = inferred_head(canonical(state))
    assert classes == len(config.classes)
    assert found == {key: value for key, value in config.head.items() if key != "pair"}


def run(*arguments):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "converters.convert", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_command_line(tmp_path, config_file):
    source = save_torch(tmp_path / "a.pt", encoder_state())
    good = run("--family=hubert", f"--source={source}", f"--config={config_file}", f"--output={tmp_path / 'out'}")
    assert good.returncode == 0 and good.stdout.rstrip().endswith(f"checkpoint: {tmp_path / 'out'}"), good.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["used"] == len(encoder_state()) and "SHA-256" in (tmp_path / "out/report.md").read_text()
    back = run("--family=hubert", f"--source={tmp_path / 'out'}", f"--output={tmp_path / 'back'}", "--reverse")
    assert back.returncode == 0 and "a.safetensors" in back.stdout
    for arguments, words in {
        ("--family=hubert",): "--source, --output: missing",
        ("--family=hubert", "--source=absent.pt", "--output=x"): "absent.pt does not exist",
        ("--famly=hubert",): "famly",
        ("hubert",): "belongs to no flag",
    }.items():
        bad = run(*arguments)
        assert bad.returncode == 2 and words in bad.stderr and bad.stderr.count("\n") == 1, bad.stderr
    assert "samples" in run("--help").stdout


def test_families_and_their_files():
    assert {name: families.find(name).files for name in FAMILIES} == {
        "hubert": ("encoder",),
        "hubert_classifier": ("encoder", "head"),
        "amaut": ("encoder", "head"),
        "ast": ("encoder",),
        "ssast": ("encoder",),
        "clap": ("towers",),
        "vggish": ("encoder", "pca"),
        "tomofun": ("encoder",),
        "conmix": ("encoder",),
        "conmix_classifier": ("encoder", "bottleneck", "classifier"),
    }

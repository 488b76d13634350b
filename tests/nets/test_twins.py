"""Networks for clips of other front ends: EDE's presets, position tables, weights that are carried over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import spectrogram
from converters.mapping import canonical, to_flax
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.amaut import tokens
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.spectrogram_transfer import CUTS, fit_positions, for_clips
from dhauds_jax.nets.spectrogram_zoo import config_grid
from dhauds_jax.nets.twins import twin
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden, largest_error

CLASSES = ("a", "b", "c")
COLUMNS = {"ls100": 19, "nsynth100": 5, "fsc89": 3}


def weights(config):
    """NumPy leaves, each value another one."""
    leaves, tree = jax.tree.flatten(zoo.shapes(zoo.build(config)))
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])


def state_of(name):
    return canonical(golden_state_dict(str(GOLDENS / f"{name}.spec.json")))


@pytest.mark.parametrize("name", list(COLUMNS))
def test_presets_have_the_published_front_ends_and_grids(name):
    config = zoo.preset(f"ast_base_{name}", CLASSES)
    assert config_grid(config) == (12, COLUMNS[name])
    numbers = golden("torchlibrosa_log_mel")
    features = jax.jit(zoo.build(config).features)(jnp.asarray(numbers[f"{name}_wave"]))
    np.testing.assert_allclose(features[:, ::8], numbers[f"{name}_normed_every8"], atol=3e-4)  # see dsp/test_mel.py
    patches, tiny = (zoo.preset(net, CLASSES) for net in (f"ast_base_{name}_patches", f"ssast_tiny_{name}"))
    assert config.front_end == patches.front_end == tiny.front_end
    small = zoo.preset(f"amaut_small_{name}", CLASSES)
    positions = zoo.shapes(zoo.build(small))["params"]["encoder"]["positions"].shape
    assert positions == (tokens(small, features.shape[1]), 192)


@pytest.mark.parametrize("frames", [44, 63, 201, 1106])
def test_position_tables_are_those_of_the_published_checkpoint(frames):
    table = state_of("ede_small_ast")["v.pos_embed"][0]
    wanted = golden("ede_small")[f"ast_pos_embed_{frames}"][0]
    columns = (frames - 16) // 10 + 1
    found = fit_positions(table, 2, (12, 101), (12, columns), CUTS["corrected"])
    assert largest_error(found[:, : wanted.shape[1]], wanted) < 1e-6
    assert found.shape[0] == wanted.shape[0] == 2 + 12 * columns


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nsynth100", "ls100"])
def test_a_twin_of_the_published_checkpoint_gives_its_raw_tokens(name):
    """The block's name and numbers are EDE's own module's; the checkpoint's clips have 1024 frames."""
    numbers, state = golden("ede_small"), state_of("ede_small_ast")
    frames = {"nsynth100": 63, "ls100": 201}[name]
    small = {"width": 48, "heads": 4, "depth": 0, "mlp": 192}
    small["depth"] = sum(key.endswith("norm1.weight") for key in state)
    source = zoo.preset("ast_audioset", CLASSES)
    source = source.replace(geometry={**source.geometry, **small, "epsilon": 1e-6})
    leaves = spectrogram.encoder_leaves(source.geometry, "original")
    variables = to_flax(state, leaves, (*spectrogram.IGNORE, r"mlp_head\..*")).variables
    target = zoo.preset(f"ast_base_{name}", CLASSES)
    target = target.replace(geometry={**target.geometry, **small})
    fitted = for_clips(variables, source, target, jax.random.key(0))
    features = (jnp.asarray(numbers[f"ast_features_{frames}"]) + 4.26) / 9.14
    found = jax.jit(lambda v, f: zoo.build(target).tap(v, f, "tokens"))(fitted, features)
    wanted = numbers[f"ast_tokens_{frames}"]
    assert largest_error(found, wanted) < 1e-5 * np.abs(wanted).max()


def test_a_twin_without_prefix_keeps_the_patches_positions_alone():
    source = zoo.preset("ssast_tiny_ls100", CLASSES)
    had = weights(source)
    config, same = twin(had, source, "ssast_tiny_ls100", jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, same["params"], had["params"])
    config, shorter = twin(had, source, "ssast_tiny_nsynth100", jax.random.key(0))
    table = had["params"]["encoder"]["positions"]
    grid = table[2:].reshape(12, 19, 192)[:, 7:12].reshape(60, 192)
    np.testing.assert_array_equal(shorter["params"]["encoder"]["positions"], np.concatenate([table[:2], grid]))
    np.testing.assert_array_equal(
        shorter["params"]["head"]["classifier"]["bias"], had["params"]["head"]["classifier"]["bias"]
    )
    assert config.classes == CLASSES and config.net == "ssast_tiny_nsynth100"


def test_a_net_of_patches_alone_has_no_tokens_before_them():
    config = zoo.preset("ssast_test", CLASSES)
    bare = config.replace(geometry={**config.geometry, "prefix": 0}, head={**config.head, "prefix": 0})
    net = zoo.build(bare)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 4000)))
    encoder = variables["params"]["encoder"]
    assert set(encoder) == {"blocks", "layer_norm", "patch_embed", "positions"}
    assert encoder["positions"].shape == (15, 16)
    features = jax.ShapeDtypeStruct((2, 23, 32), jnp.float32)
    assert jax.eval_shape(lambda f: net.tap(variables, f, "tokens"), features).shape == (2, 15, 16)
    had = weights(config)
    made = for_clips(had, config, bare, jax.random.key(0))
    assert jax.tree.structure(made["params"]) == jax.tree.structure(variables["params"])
    np.testing.assert_array_equal(made["params"]["encoder"]["positions"], had["params"]["encoder"]["positions"][2:])
    with pytest.raises(BadInput, match="pool is 'cls', expected 'average'"):
        build_head({**bare.head, "pool": "cls"}, 3)
    with pytest.raises(BadInput, match="prefix is 3, expected 0, 1"):
        zoo.build(config.replace(geometry={**config.geometry, "prefix": 3}))


def test_amauts_tokens_are_cut_between_their_ends():
    source = zoo.preset("amaut_small_ls100", CLASSES)
    had = weights(source)
    config, made = twin(had, source, "amaut_small_nsynth100", jax.random.key(0))
    table = had["params"]["encoder"]["positions"]
    count = tokens(config, 63) - 2
    first = (len(table) - 2) // 2 - count // 2
    wanted = np.concatenate([table[:1], table[1 + first : 1 + first + count], table[-1:]])
    np.testing.assert_array_equal(made["params"]["encoder"]["positions"], wanted)
    assert jax.tree.map(np.shape, made) == jax.tree.map(lambda leaf: leaf.shape, zoo.shapes(zoo.build(config)))


def test_weights_that_do_not_fit_are_named():
    source = zoo.preset("amaut_small", CLASSES)
    with pytest.raises(BadInput, match=r"weights of 'amaut_small' do not fit 'amaut_small_ls100': .*stem.* there and"):
        twin(weights(source), source, "amaut_small_ls100", jax.random.key(0))
    with pytest.raises(BadInput, match="'ssast_tiny_ls100' is of family 'spectrogram_transformer', the checkpoint of"):
        twin({}, source, "ssast_tiny_ls100", jax.random.key(0))
    tiny = zoo.preset("ssast_tiny_ls100", CLASSES)
    with pytest.raises(BadInput, match="width 192 there and 768 here"):
        twin({}, tiny, "ast_base_ls100", jax.random.key(0))

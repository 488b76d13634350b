"""TTT: a clip's gate and step, worked out in numpy over all its copies; shifts and rotations; clips in order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.tta import methods
from dhauds_jax.tta.aux_tasks import TASKS, random_labels, rotations, time_shifted
from dhauds_jax.types import Batch, Classifier, Linear, Outputs, RunInfo, Running
from tests.tta import tiny

RNG = np.random.default_rng(3)
NAMES = ("kernel", "scale", "bias", "aux_scale", "aux_bias", "aux_kernel")
START = {
    "kernel": RNG.normal(0, 0.5, (4, 2)),
    "scale": np.array([1.0, 2.0]),
    "bias": np.array([0.1, -0.2]),
    "aux_scale": np.array([0.8, 1.3]),
    "aux_bias": np.array([0.3, 0.0]),
    "aux_kernel": RNG.normal(0, 1.0, (2, 3)),
}
MEAN, VAR = np.array([0.2, -0.1]), np.array([0.5, 0.8])
AUX_MEAN, AUX_VAR = np.array([-0.3, 0.4]), np.array([1.5, 0.7])
HEAD = np.array([[1.0, -0.5], [0.3, 2.0]])
WAVE = RNG.normal(0.3, 1.0, (4, 4)).astype(np.float32)
INFO = RunInfo(steps_per_epoch=1, clips=4, classes=2, batch_size=4)
KEY = jax.random.key(5)


def tree(values, mean=MEAN, var=VAR):
    norm = {"mean": AUX_MEAN, "var": AUX_VAR}
    found = {
        "params": {
            "encoder": {
                "extractor": {
                    "kernel": values["kernel"],
                    "batch_norm": {"scale": values["scale"], "bias": values["bias"]},
                }
            },
            "aux": {
                "kernel": values["aux_kernel"],
                "batch_norm": {"scale": values["aux_scale"], "bias": values["aux_bias"]},
            },
            "head": {"kernel": HEAD},
        },
        "batch_stats": {
            "encoder": {"extractor": {"batch_norm": {"mean": mean, "var": var}}},
            "aux": {"batch_norm": norm},
        },
    }
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), found)


def classifier(aux_classes=3):
    """Four samples, a linear map to two numbers, BatchNorm; two logits, and BatchNorm and three auxiliary ones.

    Features are 2 x 2 images; a fourth auxiliary logit is always 0.
    """

    def normed(x, params, stats, norm, weights):
        y, kept = norm(x, Running(stats["mean"], stats["var"]), 1e-5, weights, None)
        return y * params["scale"][None] + params["bias"][None], {"mean": kept.mean, "var": kept.var}

    def apply(variables, image, *, mode, weights=None, rngs=None, axis_name=None):
        p, s = variables["params"], variables["batch_stats"]
        shared, auxiliary = p["encoder"]["extractor"], p["aux"]
        shared_stats = s["encoder"]["extractor"]["batch_norm"]
        x, kept = normed(
            image.reshape(len(image), 4) @ shared["kernel"], shared["batch_norm"], shared_stats, mode.norm, weights
        )
        a, aux_kept = normed(x, auxiliary["batch_norm"], s["aux"]["batch_norm"], mode.aux or mode.norm, weights)
        aux = jnp.pad(a @ auxiliary["kernel"], ((0, 0), (0, aux_classes - 3)))
        stats = {"encoder": {"extractor": {"batch_norm": kept}}, "aux": {"batch_norm": aux_kept}}
        return Outputs(x @ p["head"]["kernel"], x, x[:, None], aux), stats

    head = lambda variables: Linear(variables["params"]["head"]["kernel"], jnp.zeros(2))  # noqa: E731
    return Classifier(None, apply, lambda wave: wave.reshape(-1, 2, 2), apply, head, None)


def make(**options):
    options = methods.resolve_options("ttt", "reference", {"lr": 0.5, "copies": 7, "threshold": 1.0, **options})
    method = methods.make("ttt", classifier(4 if options["task"] == "rotation" else 3), options)
    return method._replace(step=jax.jit(method.step)), method.init(tree(START), INFO)


def batch(rows, weights=None):
    weights = jnp.ones(len(rows)) if weights is None else jnp.asarray(weights, jnp.float32)
    return Batch(jnp.asarray(WAVE[rows]), weights, jnp.asarray(rows, jnp.int32))


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def embedded(values, x, mean, var):
    return (x @ values["kernel"] - mean) / np.sqrt(var + 1e-5) * values["scale"] + values["bias"]


def aux_logits(values, x, mean, var, classes=3):
    a = (embedded(values, x, mean, var) - AUX_MEAN) / np.sqrt(AUX_VAR + 1e-5)
    return np.pad((a * values["aux_scale"] + values["aux_bias"]) @ values["aux_kernel"], ((0, 0), (0, classes - 3)))


def copies_of(row, labels, classes=3):
    """All the copies, one by one: 0.2625 of four samples is one sample; images are turned with mels as rows."""
    x = WAVE[row].astype(np.float64)
    if classes == 4:
        return np.stack([np.rot90(x.reshape(2, 2).T, int(label)).T.reshape(4) for label in labels])
    return np.stack([{0: x, 1: np.roll(x, -1), 2: np.roll(x, 1)}[int(label)] for label in labels])


def copies_loss(values, copies, labels, classes):
    p = softmax(aux_logits(values, copies, *moments(values, copies), classes))
    return -np.log(p[np.arange(len(labels)), labels]).mean()


def moments(values, copies):
    x = copies @ values["kernel"]
    return x.mean(0), x.var(0)


def slopes(values, copies, labels, classes):
    """Central differences by every number of every moving array."""
    found = {}
    for name in NAMES:
        found[name] = np.zeros_like(values[name])
        for place in np.ndindex(values[name].shape):
            ends = []
            for sign in (1, -1):
                moved = {**values, name: values[name].copy()}
                moved[name][place] += sign * 1e-6
                ends.append(copies_loss(moved, copies, labels, classes))
            found[name][place] = (ends[0] - ends[1]) / 2e-6
    return found


def learnt(row, updates, values, mean, var, classes):
    """(values, running mean and variance, last loss) after a clip."""
    labels = np.asarray(random_labels(KEY, jnp.asarray([row]), 7, classes)[0])
    assert len(set(labels)) == classes
    copies = copies_of(row, labels, classes)
    for _ in range(updates):
        loss = copies_loss(values, copies, labels, classes)
        batch_mean, batch_var = moments(values, copies)
        slope = slopes(values, copies, labels, classes)
        values = {name: values[name] - 0.5 * slope[name] for name in NAMES}
        mean = 0.9 * mean + 0.1 * batch_mean
        var = 0.9 * var + 0.1 * batch_var * 7 / 6
    return values, mean, var, loss


@pytest.mark.slow
@pytest.mark.parametrize(("task", "updates"), [("time_shift", 1), ("time_shift", 2), ("rotation", 2)])
def test_a_clips_steps_are_those_over_all_its_copies(task, updates):
    method, state = make(task=task, updates=updates)
    classes = len(TASKS[task].classes)
    assert method.passes == (2 + classes * updates, classes * updates)
    after, prediction = method.step(state, batch([2]), KEY)
    values, mean, var, loss = learnt(2, updates, START, MEAN, VAR, classes)
    wanted = tree(values, mean, var)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), after.variables, wanted)
    moved = np.abs(values["kernel"] - START["kernel"]).max()
    assert moved > 0.02
    np.testing.assert_allclose(prediction.losses["total"], loss, rtol=1e-4)
    logits = embedded(values, WAVE[2].astype(np.float64), mean, var) @ HEAD
    np.testing.assert_allclose(prediction.logits[0], logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(after.variables["params"]["head"]["kernel"], np.float32(HEAD))
    np.testing.assert_allclose(method.predict(after, batch([2]))[0], logits, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_only_clips_below_the_threshold_are_learnt_from():
    p = softmax(aux_logits(START, WAVE.astype(np.float64), MEAN, VAR))[:, 0]
    order = np.argsort(p)
    threshold = float((p[order[0]] + p[order[1]]) / 2)
    # The surest clips come first, so none has seen an update before it is looked at.
    rows = [int(i) for i in order[::-1]]
    method, state = make(threshold=threshold)
    after, prediction = method.step(state, batch(rows), KEY)
    assert float(prediction.losses["adapted"]) == 0.25
    plain = embedded(START, WAVE[rows].astype(np.float64), MEAN, VAR) @ HEAD
    np.testing.assert_allclose(prediction.logits[:3], plain[:3], rtol=1e-4, atol=1e-5)
    assert np.abs(prediction.logits[3] - plain[3]).max() > 0.01
    alone, _ = method.step(state, batch(rows[3:]), KEY)
    jax.tree.map(np.testing.assert_array_equal, after.variables, alone.variables)
    method, state = make(threshold=0.0)
    after, prediction = method.step(state, batch(rows), KEY)
    jax.tree.map(np.testing.assert_array_equal, after.variables, state.variables)
    assert float(prediction.losses["total"]) == float(prediction.losses["adapted"]) == 0.0


@pytest.mark.slow
def test_clips_are_taken_in_order_and_padded_ones_passed_over():
    method, state = make()
    whole, prediction = method.step(state, batch([0, 1, 2, 3], [1, 0, 1, 0]), KEY)
    first, one = method.step(state, batch([0]), KEY)
    second, two = method.step(first, batch([2]), KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole.variables, second.variables)
    np.testing.assert_allclose(prediction.logits[::2], np.concatenate([one.logits, two.logits]), rtol=1e-5)
    losses = [float(p.losses["total"]) for p in (one, two)]
    assert float(prediction.losses["total"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(prediction.losses["adapted"]) == 1.0
    backwards, _ = method.step(state, batch([2, 0]), KEY)
    kernels = [v.variables["params"]["encoder"]["extractor"]["kernel"] for v in (whole, backwards)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


@pytest.mark.slow
def test_a_batch_spread_over_devices_is_the_whole_batch():
    net = tiny.NETS["aux"]()
    variables = tiny.variables_of(net, tiny.LENGTH)
    weights = jnp.asarray([1.0] * 7 + [0.0])
    whole = Batch(jnp.asarray(tiny.waves()[:8]), weights, jnp.arange(8, dtype=jnp.int32))
    options = methods.default_options("ttt", "reference")
    one, two = (methods.make("ttt", net, options, axis) for axis in (None, "batch"))
    state = one.init(variables, INFO)
    after, prediction = jax.jit(one.step)(state, whole, KEY)
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), whole)
    spread, parts = jax.jit(jax.vmap(two.step, in_axes=(None, 0, None), axis_name="batch"))(state, halves, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-4, atol=1e-5), after, spread)
    np.testing.assert_allclose(prediction.logits[:7], parts.logits.reshape(8, -1)[:7], rtol=1e-4, atol=1e-5)


def test_shifts_are_those_of_the_reference():
    wave = np.arange(3 * 16000, dtype=np.float32).reshape(3, 16000)
    shift = jax.jit(time_shifted)
    shifted = np.asarray(shift(wave, np.array([0, 1, 2])))
    np.testing.assert_array_equal(shifted[0], wave[0])
    # Left: what comes at sample 4200 comes first. Right: what came first comes at sample 4200.
    np.testing.assert_array_equal(shifted[1], np.roll(wave[1], -4200))
    np.testing.assert_array_equal(shifted[2], np.roll(wave[2], 4200))
    assert shifted[1][0] == wave[1][4200]
    assert shifted[2][4200] == wave[2][0]
    assert int(np.argmax(shift(np.eye(1, 48000, dtype=np.float32), np.array([2])))) == 12600


def test_rotations_are_those_of_the_reference():
    """It turns images of mels by frames: 1 flips time and transposes, 3 transposes and flips what then is time."""
    image = np.arange(18.0).reshape(2, 3, 3)
    turned = [image, image[..., ::-1].swapaxes(1, 2), image[:, ::-1, ::-1], image.swapaxes(1, 2)[..., ::-1]]
    found = rotations(jnp.asarray(image.swapaxes(1, 2)))
    np.testing.assert_array_equal(found, np.stack(turned, 1).swapaxes(2, 3))
    net = classifier()
    for name, task in TASKS.items():
        picked = np.array([3, 0, 2, 1]) % len(task.classes)
        look, look_at = (jax.jit(f, static_argnums=n) for f, n in ((task.views, (0, 2)), (task.view, (0, 3))))
        views = np.asarray(look(net, WAVE, 0.2625))
        assert views.shape == (4, len(task.classes), 2, 2), name
        np.testing.assert_array_equal(look_at(net, WAVE, picked, 0.2625), views[np.arange(4), picked])
    with pytest.raises(ValueError, match=r"square spectrograms, and these are 96 x 64 \(frames x mels\): choose a net"):
        rotations(jnp.zeros((1, 96, 64)))


def test_a_rotation_step_fits_the_networks_of_the_zoo():
    config = zoo.preset("resnet_tiny", ["a", "b"])
    net = zoo.build(config.replace(geometry={**config.geometry, "aux_classes": 4}))
    options = methods.resolve_options("ttt", "reference", {"task": "rotation"})
    method = methods.make("ttt", net, options)
    waves = jax.ShapeDtypeStruct((2, config.length), jnp.float32)
    batch = Batch(waves, jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32))
    state = jax.eval_shape(lambda v: method.init(v, INFO), zoo.shapes(net))
    after, prediction = jax.eval_shape(method.step, state, batch, KEY)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert prediction.logits.shape == (2, 2)


def test_labels_follow_the_clip_alone():
    draw = jax.jit(random_labels, static_argnums=2)
    labels = np.asarray(draw(KEY, np.arange(100), 42))
    assert labels.shape == (100, 42)
    np.testing.assert_allclose(np.bincount(labels.ravel()) / 4200, 1 / 3, atol=0.03)
    np.testing.assert_array_equal(draw(KEY, np.array([7, 3]), 42), labels[[7, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "ttt: threshold is 1.5, expected a probability"),
        ({"copies": 0}, "ttt: copies is 0 and updates 1, expected at least 1"),
        ({"updates": 0}, "ttt: copies is 7 and updates 0"),
        ({"shift": 0.0}, "ttt: shift is 0.0, expected a share"),
        ({"task": "colour"}, "unknown task of method ttt 'colour': expected time_shift or rotation"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_head_of_another_task_is_refused():
    method = methods.make("ttt", classifier(aux_classes=4), methods.default_options("ttt", "reference"))
    with pytest.raises(ValueError, match=r"auxiliary head of 3 classes \(none, left, right\).* this one has 4"):
        method.step(method.init(tree(START), INFO), batch([0]), KEY)

"""What the child processes of `test_parallel.py` run: adaptation and gradients on as many devices as they are given.

`python -m tests.parallel_case devices` prints how far each case is from one device, `... plain` how far the plain case
is, and a digest of what one device ended with; `... process HOST:PORT N I FOLDER` is one process of N and writes what
it ended with, by kind.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import TRAIN
from dhauds_jax.tta import evaluation, feeding, losses, methods, protocols
from dhauds_jax.tta.update import Evaluated, gradients
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny

BATCH = 12
"""Of 30 clips: the last batch has 6 real rows, and on 8 devices batches are filled up to 16."""
CLIPS = 30

CASES = {
    "plain": {},
    "held, several in a dispatch": {"held": True, "together": 2},
    "clips alone": {"protocol": "batch1", "method": "tent"},
    "online": {"protocol": "online", "method": "tent"},
    "set pass": {"method": "shot"},
}


@functools.cache
def _network(net):
    """A network whose forward pass is traced once a mode and shape, and variables drawn for it, once a process."""
    classifier = tiny.traced_once(tiny.NETS[net]())
    return classifier, tiny.variables_of(classifier, tiny.length_of(net))


@functools.cache
def adapted(kind, method="dhauds", net="batch_norm", together=1, held=False, protocol="offline"):
    """State, logits and losses after some epochs (or one stream) with one way of running it."""
    classifier, variables = _network(net)
    waves = tiny.waves(tiny.length_of(net), CLIPS)
    where = parallel.make(kind)
    options = methods.resolve_options(method, "corrected", {})
    alone, spread = (methods.make(method, classifier, options, axis) for axis in (None, where.axis_name))
    state = alone.init(variables, RunInfo(3, CLIPS, tiny.CLASSES, None, BATCH))
    run = evaluation.compiled(alone, parallel=where, spread=spread)
    waves = feeding.hold(waves, where, budget_mb=100.0) if held else waves
    shared = dict(batch_size=BATCH, key=jax.random.key(5))
    if protocol == "offline":
        *_, last = protocols.offline(run, state, waves, epochs=2, together=together, **shared)
        return jax.tree.map(np.asarray, last.state), np.asarray(last.logits), last.losses
    logits = np.zeros((CLIPS, tiny.CLASSES), np.float32)
    for step in protocols.online(run, state, waves, alone=protocol == "batch1", **shared):
        logits[step.rows] = step.logits
    return jax.tree.map(np.asarray, step.state), logits, {k: float(v) for k, v in step.losses.items()}


@functools.cache
def _residual():
    """A residual network with dropout, weight-standardised layers and attention, some waves, variables."""
    config = zoo.preset("amaut_tiny", ("a", "b", "c"))
    config = config.replace(geometry={**config.geometry, "stages": [0]})
    classifier, waves = zoo.build(config), tiny.waves(config.length, BATCH)
    return classifier, waves, tiny.variables_of(classifier, config.length)


def first_gradients(kind):
    """Loss, gradients of all parameters and BatchNorm statistics of a train-mode pass over 11 real rows of 12."""
    classifier, waves, variables = _residual()
    where = parallel.make(kind)

    def passed(variables, batch):
        def loss(variables):
            rngs = {"dropout": jax.random.key(1)}
            rows = {"weights": batch.weights, "axis_name": where.axis_name}
            outputs, stats = classifier.apply(variables, batch.wave, mode=TRAIN, rngs=rngs, **rows)
            value = losses.nuclear_norm(outputs.logits, batch.weights, where.axis_name)
            value += losses.entropy(outputs.logits, batch.weights, where.axis_name, epsilon=0.0)
            return value, Evaluated({"total": value}, stats, outputs.logits)

        grads, evaluated = gradients(variables, loss, "all", where.axis_name)
        return (evaluated.losses, grads, evaluated.batch_stats), ()

    weights = np.array([1.0] * (BATCH - 1) + [0.0], np.float32)
    batch = feeding.padded(Batch(waves, weights, np.arange(BATCH, dtype=np.int32)), where.devices)
    run = parallel.spread(where, passed)
    return jax.tree.map(np.asarray, run(parallel.everywhere(where, variables), parallel.put_rows(where, batch))[0])


def copies_differ():
    """Largest difference between the devices' copies of a state after a pmapped step, which should be one."""
    classifier, variables = _network("batch_norm")
    method = methods.make("dhauds", classifier, methods.resolve_options("dhauds", "corrected", {}), parallel.AXIS)
    state = method.init(variables, RunInfo(3, 16, tiny.CLASSES))
    batch = Batch(jnp.asarray(tiny.waves(clips=16)), jnp.ones(16), jnp.arange(16))
    batch = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch)
    step = jax.pmap(method.step, axis_name=parallel.AXIS, in_axes=(None, 0, None), out_axes=0)
    after = step(state, batch, jax.random.key(0))[0]
    return max(float(np.abs(x - x[:1]).max()) for x in map(np.asarray, jax.tree.leaves(after)))


def apart(one, other):
    """Largest difference of two trees of arrays, each leaf's by the larger of 1 and its largest value."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) for a, b in pairs)


def on_devices():
    """How far pmap and mesh are from one device, by case."""
    found = {"devices": jax.device_count(), "copies": copies_differ()}
    for name, case in CASES.items():
        one = adapted("jit", **{option: case[option] for option in case if option not in ("together", "held")})
        kinds = ("jit", "pmap", "mesh") if "held" in case else ("pmap", "mesh")
        found[name] = {kind: apart(one, adapted(kind, **case)) for kind in kinds}
    one = first_gradients("jit")
    found["gradients"] = {kind: apart(one, first_gradients(kind)) for kind in ("pmap", "mesh")}
    found["largest gradient"] = max(float(np.abs(g).max()) for g in jax.tree.leaves(one[1]))
    return found


def plain_case():
    """What one device ended with, bit by bit, and how far pmap and mesh on all devices are from it."""
    one = adapted("jit")
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(one)))
    apart_by = {kind: apart(one, adapted(kind)) for kind in ("pmap", "mesh")} if jax.device_count() > 1 else {}
    return {"devices": jax.device_count(), "digest": digest.hexdigest(), "apart": apart_by}


def as_process(coordinator: str, processes: str, number: str, folder: str) -> None:
    """One process of several: adapts with pmap and with mesh and writes what it ended with."""
    leave = parallel.start(coordinator, int(processes), int(number))
    for kind in ("pmap", "mesh"):
        state, logits, found = adapted(kind)
        np.savez(f"{folder}/{kind}{number}.npz", *jax.tree.leaves(state), logits=logits, losses=json.dumps(found))
    leave()


if __name__ == "__main__":
    if sys.argv[1] == "devices":
        print(json.dumps(on_devices()))
    elif sys.argv[1] == "plain":
        print(json.dumps(plain_case()))
    else:
        as_process(*sys.argv[2:])

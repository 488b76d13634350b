"""AdaContrast: labels refined by neighbours, and contrast against the keys of a slow encoder that have other labels."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.parallel import total, whole_batch
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, augmented, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.neighbours import of_unit_length
from dhauds_jax.tta.update import Evaluated, between, first_state, float_type, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Outputs, Prediction, RunInfo, Variables

FOLLOWING, FIXED = (Mode(dropout=False, norm=norm) for norm in (normalisers.batch, normalisers.batch_frozen))


class Ring(NamedTuple):
    """The clips that came last, the oldest overwritten first.

    Attributes:
      keys: (places, features) of unit length, the slow encoder's of a strong view.
      labels: (places,) the refined ones.
      features: (places, features) the slow encoder's of the weak view.
      probabilities: (places, classes) likewise.
      added: clips so far; place i holds one if i < added.
    """

    keys: Float[Array, "places features"]
    labels: Int[Array, " places"]
    features: Float[Array, "places features"]
    probabilities: Float[Array, "places classes"]
    added: Int[Array, ""]

    @property
    def filled(self) -> Bool[Array, " places"]:
        """Which places hold a clip."""
        return jnp.arange(self.labels.shape[0]) < self.added


class AdaContrastMemory(NamedTuple):
    """The slow encoder's moving leaves, and the ring."""

    slow: Any
    ring: Ring


@jax.jit
def placed(ring: Ring, rows: tuple[Array, Array, Array, Array], weights: Float[Array, " rows"]) -> Ring:
    """The ring after the real rows, in their order; of more rows than places the last ones."""
    real, places = weights > 0, ring.labels.shape[0]
    order = jnp.cumsum(real, dtype=jnp.int32)
    count = order[-1]
    stays = real & (order > count - places)
    place = jnp.where(stays, (ring.added + order - 1) % places, places)  # beyond the end: dropped
    return Ring(
        *(old.at[place].set(new, mode="drop") for old, new in zip(ring[:4], rows, strict=True)), ring.added + count
    )


@functools.partial(jax.jit, static_argnames=("neighbours", "refine_after"))
def refined_labels(
    embedding: Float[Array, "rows features"],
    logits: Float[Array, "rows classes"],
    ring: Ring,
    neighbours: int,
    refine_after: int,
) -> Int[Array, " rows"]:
    """The class of the largest mean probability among a row's nearest neighbours by cosine; at first, of its own.

    Args:
      embedding: (rows, features) of the student.
      logits: (rows, classes) likewise.
      ring: where neighbours are looked for.
      neighbours: how many, fewer while there are no more.
      refine_after: clips that the ring must have seen; before, a row's own logits count.
    """
    cosine = of_unit_length(embedding) @ of_unit_length(ring.features).T
    closeness, place = jax.lax.top_k(jnp.where(ring.filled[None], cosine, -jnp.inf), neighbours)
    found = jnp.isfinite(closeness)[..., None]
    votes = jnp.where(found, ring.probabilities[place], 0.0).sum(1)
    ready = ring.added >= max(refine_after, 1)
    return jnp.where(ready, votes.argmax(-1), logits.argmax(-1)).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames="temperature")
def instance_rows(
    query: Float[Array, "rows features"],
    key: Float[Array, "rows features"],
    labels: Int[Array, " rows"],
    ring: Ring,
    temperature: float,
) -> Float[Array, " rows"]:
    """`-log(e^{q k+} / (e^{q k+} + sum_j e^{q k_j}))` at a temperature, over the ring's keys of other labels.

    Args:
      query: (rows, features) of unit length.
      key: (rows, features) of the same clips' other strong view, of unit length.
      labels: (rows,) of the clips.
      ring: the keys that are not theirs.
      temperature: of the products.
    """
    own = (query * key).sum(-1, keepdims=True)
    others = jnp.where(ring.filled[None] & (labels[:, None] != ring.labels[None]), query @ ring.keys.T, -jnp.inf)
    products = jnp.concatenate([own, others], -1) / temperature
    return -jax.nn.log_softmax(products, -1)[:, 0]


def sameness(
    logits: Float[Array, "batch classes"], weights: Float[Array, " batch"], axis_name: str | None
) -> Float[Array, ""]:
    """`sum_c p_c log(p_c + 1e-8)` of the batch's mean softmax: least where all classes are said equally often."""
    summed, rows = total((weights @ jax.nn.softmax(logits, -1), weights.sum()), axis_name)
    mean = summed / rows
    return (mean * jnp.log(mean + 1e-8)).sum()


@declares(
    contract_options={"refine_after": 8},
    because="the table's sets are smaller than the clips that are waited for",
    recipes={
        "library": {
            "lr": 2e-4,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "teacher_momentum": 0.999,
            "temperature": 0.07,
            "queue": 16_384,
            "neighbours": 10,
            "refine_after": 1024,
            "evaluate": "running",
        }
    },
)
def adacontrast(
    classifier: Classifier,
    *,
    lr: float | Array = 2e-4,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    teacher_momentum: float = 0.999,
    classify: float = 1.0,
    contrast: float = 1.0,
    diversity: float = 1.0,
    temperature: float = 0.07,
    queue: int = 16_384,
    neighbours: int = 10,
    refine_after: int = 64,
    weak_shift: float = 0.05,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    evaluate: str = "running",
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """Strong views learn the refined label of the weak view, and differ from the remembered clips of other labels.

    Per batch, w a weak view of each clip (shifted), q and k two strong ones (`tta.augment`), all with the batch's
    statistics: the label by `refined_labels` of w; the slow encoder `T = m T + (1 - m) S`; one step of Nesterov SGD on
    `classify CE(S(q), label) + contrast L_ins + diversity sum_c p_c log p_c`, L_ins `instance_rows` of the embeddings
    S(q) and T(k) against the remembered keys, p the mean of softmax S(q); then T(k) with the label, and T(w), are
    remembered. The running statistics follow w, then q. A step's prediction is that of the clips themselves, after the
    update and by the batch's statistics. (The original's is an evaluation by the running ones, which lag behind in a
    short stream: that is the protocols' `order=adapt_first`.)

    Args:
      classifier: the network.
      lr: learning rate (a library's for CIFAR and ImageNet; the authors have ten times that for new layers).
      momentum: of SGD, with Nesterov's form.
      weight_decay: coupled, on everything that moves.
      teacher_momentum: m, the share of the old slow encoder.
      classify: weight of the cross-entropy.
      contrast: weight of the contrast of clips.
      diversity: weight of the mean prediction's negative entropy.
      temperature: of the contrast.
      queue: clips that are remembered, at most the set's.
      neighbours: of a clip, whose probabilities are averaged.
      refine_after: clips that are remembered before labels are refined (a library waits for 1,024, more than many sets
        of sounds have; the authors look at the whole set first).
      weak_shift: weak view: largest circular shift, as a share of the clip (images: cut and flipped).
      shift: strong view: largest circular shift (images: MoCo's cuts, colours, blurs).
      gain_db: strong view: largest gain or loss in dB.
      noise: strong view: noise as a share of the clip's root mean square.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting, as the original) or "batch".
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread; every device then remembers all clips.

    Raises:
      BadInput: impossible options.

    Source: Chen et al., CVPR 2022, arXiv 2204.10377; adacontrast.py of github.com/mariodoebler/test-time-adaptation,
      whose memory begins with random vectors under random labels, here with nothing, and which masks keys by the labels
      of those that have just replaced them, here by their own.
    """
    strong = checked("adacontrast", Augmentation(shift, gain_db, noise))
    weak = checked("adacontrast", Augmentation(weak_shift, 0.0, 0.0))
    _check(teacher_momentum, temperature, queue, neighbours, evaluate)
    optimiser = optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(lr, momentum=momentum, nesterov=True))

    def forward(variables: Variables, wave: Array, weights: Array, mode: Mode) -> tuple[Outputs, Any]:
        return classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        places = max(min(queue, info.clips), neighbours)
        features = classifier.head(variables).kernel.shape[0]
        dtype = float_type(variables)
        empty, probabilities = (jnp.zeros((places, width), dtype) for width in (features, info.classes))
        labels = jnp.zeros(places, jnp.int32)
        ring = Ring(empty, labels, empty, probabilities, jnp.zeros((), jnp.int32))
        slow = jax.tree.map(jnp.copy, masks.split(variables["params"], group)[0])
        state = first_state("adacontrast", variables, optimiser, group)
        return state._replace(memory=AdaContrastMemory(slow, ring))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state.variables, batch.wave, batch.weights, normalisers.EVALUATIONS[evaluate])[0].logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        w, q, k = (
            augmented(part, batch.wave, batch.index, how)
            for part, how in zip(jax.random.split(key, 3), (weak, strong, strong), strict=True)
        )
        weights, (slow, ring) = batch.weights, state.memory
        student, frozen = masks.split(state.variables["params"], group)
        slow = between(teacher_momentum, slow, student)
        teacher = {**state.variables, "params": masks.merge(slow, frozen)}
        of_weak, stats = forward(state.variables, w, weights, FOLLOWING)
        labels = refined_labels(of_weak.embedding, of_weak.logits, ring, neighbours, refine_after)
        keys = of_unit_length(forward(teacher, k, weights, FIXED)[0].embedding)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            found, followed = forward({**variables, "batch_stats": stats}, q, weights, FOLLOWING)
            length = jnp.sqrt(jnp.maximum(jnp.square(found.embedding).sum(-1, keepdims=True), 1e-24))
            rows = instance_rows(found.embedding / length, keys, labels, ring, temperature)
            terms = {
                "classify": losses.smoothed_cross_entropy(found.logits, labels, weights, axis_name, smoothing=0.0),
                "contrast": losses.weighted_mean(rows, weights, axis_name),
                "sameness": sameness(found.logits, weights, axis_name),
            }
            value = classify * terms["classify"] + contrast * terms["contrast"] + diversity * terms["sameness"]
            return value, Evaluated({"total": value, **terms}, followed, found.logits)

        state, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
        slowly = forward(teacher, w, weights, FIXED)[0]
        rows = (keys, labels, slowly.embedding, jax.nn.softmax(slowly.logits, -1))
        rows, everyone = whole_batch((rows, weights), axis_name)
        state = state._replace(memory=AdaContrastMemory(slow, placed(ring, rows, everyone)))
        return state, Prediction(forward(state.variables, batch.wave, weights, FIXED)[0].logits, evaluated.losses)

    return Method(init, step, predict, adapts=group, passes=(5, 1))


def _check(teacher_momentum: float, temperature: float, queue: int, neighbours: int, evaluate: str) -> None:
    registry.check("evaluate of method adacontrast", evaluate, ("running", "batch"))
    if not 0.0 <= teacher_momentum <= 1.0:
        raise BadInput(f"adacontrast: teacher_momentum is {teacher_momentum}, expected a share from 0 to 1")
    if not temperature > 0:
        raise BadInput(f"adacontrast: temperature is {temperature}, expected a number above 0")
    if queue < 1 or neighbours < 1:
        raise BadInput(f"adacontrast: queue is {queue} and neighbours {neighbours}, expected at least 1 of each")

"""A frozen network with one more adapter for every session: expandable dual embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental import base_training, dual
from dhauds_jax.incremental.descent import Descent, cross_entropy, descend, draw_orders
from dhauds_jax.incremental.dual import Exemplars, Heads, Rows
from dhauds_jax.incremental.herding import herding
from dhauds_jax.incremental.profiles import BY_PROFILE, by_profile
from dhauds_jax.nets import dual_embedding
from dhauds_jax.nets.dual_embedding import Sizes
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

CHOICES = {"head": ("linear", "prototype"), "prototypes": ("replaced", "kept"), "order": ("same", "fresh")}
"""Option -> its value in profile reference and in profile corrected."""

HEADS = ("prototype", "linear", "nme")

EXEMPLAR = 2**30
"""What exemplars are numbered from, where clips have their own numbers."""

DESCENT = Descent(lr=1e-3, momentum=0.9, decay=2e-4, batch=25, drops=(80,), drop=0.1, piece=5)
"""Of every session but the first."""


def ede(
    classifier: Classifier | None,
    *,
    profile: str = "corrected",
    head: str = BY_PROFILE,
    prototypes: str = BY_PROFILE,
    order: str = BY_PROFILE,
    base_epochs: int = -1,
    first_epochs: int = -1,
    epochs: int = 100,
    alpha: float = 1.0,
    scale: float = 16.0,
) -> Learner:
    """Session s adds A_s, a copy of A_{s-1}, and trains it and a linear head by CE + alpha CE of an auxiliary head.

    With I the network, G what session 0 made of it, A_j(G) = mean over tokens of LN(block(G)) (`nets.dual_embedding`):
    the heads are `prototype`, scale cos([I, A_0 ... A_s], w_k), w_k a class's mean; `linear` over [A_0 ... A_s]; and
    `nme`, the nearest mean of exemplars among unit [A_0 ... A_s]. The auxiliary head sees A_s alone and tells the new
    classes from each other and from all old ones. All older adapters and I are frozen: a clip keeps their outputs, so a
    step runs one block. Rates: 1e-3, after 80 epochs a tenth; momentum 0.9, decay 2e-4 inside it; batches of 25.

    Args:
      classifier: the network, whose tokens are read; None where tokens came without one.
      profile: reference: base_epochs 1, first_epochs 0, head linear, prototypes replaced, order same; corrected:
        base_epochs 0, first_epochs as `epochs`, head prototype, prototypes kept, order fresh.
      head: the method's own: `prototype` as the paper says, or `linear`, all that the code evaluates (F1). All three
        are predicted whatever it is.
      prototypes: `replaced`: old classes' prototypes become, session after session, the embedding of their exemplar
        alone; `kept`: they stay the mean of all shots, and only the new adapter's part comes of exemplars (F20).
      order: of training clips: the `same` in every session, since the code seeds anew, or `fresh` (F13).
      base_epochs: epochs in which session 0 trains G, A_0 and the linear head; 0: G is I, the encoder never moves, and
        what is read of it serves all seeds (the code makes one update, F4).
      first_epochs: epochs in which session 0 trains A_0 and the linear head on what was read of G.
      epochs: of later sessions.
      alpha: weight of the auxiliary loss, which session 0 has not.
      scale: what cosines are multiplied by.

    Raises:
      BadInput: an unknown profile, a value that an option cannot have, base_epochs without a network.

    Source: Si et al. 2024, arXiv 2406.08122; YongjieSi/EDE, models/ede.py, utils/inc_net.py, models/base.py.
    """
    chosen = by_profile("ede", profile, {"head": head, "prototypes": prototypes, "order": order}, CHOICES)
    reference = profile == "reference"
    check_number("learner ede: option epochs", epochs, 1)
    base_epochs = int(reference) if base_epochs == -1 else base_epochs
    first_epochs = (0 if reference else epochs) if first_epochs == -1 else first_epochs
    for name, value in (("base_epochs", base_epochs), ("first_epochs", first_epochs), ("alpha", alpha)):
        check_number(f"learner ede: option {name}", value, 0)
    if base_epochs and classifier is None:
        raise BadInput(f"learner ede: base_epochs is {base_epochs} without a network to train, expected 0")
    of = _Ede(classifier, chosen, base_epochs, first_epochs, epochs, float(alpha), float(scale))
    return Learner(
        of.init,
        of.learn,
        of.predict,
        (chosen["head"], *(name for name in HEADS if name != chosen["head"])),
        "tokens",
        of.bytes_held,
        prepare=of.prepare if base_epochs else None,
        remember=of.remember,
        as_head=of.as_head,
        part=of.part,
        predict_parts=of.predict_parts,
        needs=("exemplars", "base_training") if base_epochs else ("exemplars",),
    )


class _Ede(NamedTuple):
    """The functions of `ede`; `params` of a state holds the adapters' stack, the network's last norm and two flags."""

    classifier: Classifier | None
    chosen: Mapping[str, str]
    base_epochs: int
    first_epochs: int
    epochs: int
    alpha: float
    scale: float

    def init(self, variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        if len(info.shape) != 2:
            raise BadInput(f"learner ede: what is read has shape {info.shape}, expected (tokens, width)")
        (tokens, width), sessions, classes = info.shape, info.max_sessions, info.max_classes
        sizes, norm = self._sizes(width), None
        if self.classifier is not None:
            norm = dual_embedding.last_norm(self.classifier.config, variables)
        drawn = dual_embedding.draw_adapter(jax.random.fold_in(key, 0), sizes, width)
        params = {
            "adapters": jax.tree.map(lambda leaf: jnp.zeros((sessions, *leaf.shape)).at[0].set(leaf), drawn),
            "norm": norm,
            "prepared": jnp.float32(0),
            "order": jax.random.key_data(jax.random.fold_in(key, 1)),
        }
        heads = Heads(
            jnp.zeros((sessions, width, classes)),
            jnp.zeros(classes),
            jnp.zeros((classes, 1 + sessions, width)),
            jnp.zeros(classes),
            jnp.zeros((classes, sessions, width)),
        )
        memory = Exemplars(
            jnp.zeros((classes, info.memory, tokens, width)),
            jnp.zeros((classes, info.memory, 1 + sessions, width)),
            jnp.zeros((classes, info.memory)),
            jnp.int32(info.clip_bytes),
        )
        return LearnerState(params, heads, memory, jnp.zeros(classes), jnp.int32(0))

    def learn(self, state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        session, adapters, heads = state.session, state.params["adapters"], state.heads
        given, kept = self._read(state, shots, session), dual.rows_of(state.memory)
        there = (jax.nn.one_hot(given.labels, len(state.seen)) * given.weights[:, None]).max(0)
        seen = jnp.maximum(state.seen, there)
        drawing, ordering = jax.random.split(key)
        ids = jnp.concatenate([shots.clip, EXEMPLAR + jnp.arange(len(kept.weights))])
        if self.chosen["order"] == "same":  # of places, whatever clips stand there
            ordering, ids = jax.random.wrap_key_data(state.params["order"]), jnp.arange(len(ids))
        drawn, aux = dual.draw_heads(drawing, heads, session)
        kernel, bias = dual.extended(heads, drawn, session, state.seen, seen)
        made = (session == 0) & (state.params["prepared"] > 0)
        start = {
            "adapter": dual.one_of(adapters, jnp.maximum(session - 1, 0)),
            "kernel": jnp.where(made, heads.kernel, kernel),
            "bias": jnp.where(made, heads.bias, bias),
            "aux_kernel": aux,
            "aux_bias": jnp.zeros(aux.shape[1]),
        }
        rows, new = dual.both(given, kept), jnp.concatenate([shots.new * given.weights, jnp.zeros_like(kept.weights)])
        targets = dual.auxiliary(rows.labels, new, seen - state.seen)
        orders = draw_orders(ordering, ids, rows.weights, max(self.epochs, self.first_epochs))
        trained, losses = self._train(start, rows, targets, session, seen, seen - state.seen, orders)
        adapters = jax.tree.map(lambda leaf, own: leaf.at[session].set(own), adapters, trained["adapter"])
        heads = heads._replace(kernel=trained["kernel"], bias=trained["bias"])
        given, kept = (self._with_part(one, trained["adapter"], session) for one in (given, kept))
        heads = dual.with_prototypes(heads, given, kept, session, self.chosen["prototypes"] == "replaced")
        heads = dual.with_means(heads, dual.both(given, kept))
        memory = state.memory._replace(vectors=kept.vectors.reshape(state.memory.vectors.shape))
        params = {**state.params, "adapters": adapters}
        return LearnerState(params, heads, memory, seen, session + 1), losses

    def predict(self, state: LearnerState, inputs: Float[Array, "rows tokens width"]) -> dict[str, Array]:
        tokens, first = self._split(state, inputs)
        parts = state.heads.prototypes.shape[1]
        adapters, sizes = state.params["adapters"], self._sizes(inputs.shape[-1])
        return self.predict_parts(state, dual.vectors_of(adapters, sizes, tokens, first, state.session, parts))

    def part(
        self, state: LearnerState, inputs: Float[Array, "rows tokens width"], number: Int[Array, ""]
    ) -> Float[Array, "rows width"]:
        tokens, first = self._split(state, inputs)
        adapter = dual.one_of(state.params["adapters"], jnp.maximum(number - 1, 0))
        sizes = self._sizes(inputs.shape[-1])
        return jax.lax.cond(number == 0, lambda: first, lambda: dual.adapted_in_chunks(adapter, sizes, tokens))

    def predict_parts(self, state: LearnerState, parts: Float[Array, "rows parts width"]) -> dict[str, Array]:
        found = dual.logits_of(state.heads, parts, self.scale)
        return {name: jnp.where(state.seen[None] > 0, logits, -jnp.inf) for name, logits in found.items()}

    def remember(self, state: LearnerState, pool: Shots, key: Array) -> LearnerState:
        """Herds the exemplars of classes that have none yet."""
        memory = state.memory
        classes, count = memory.weights.shape
        if not count:
            return state
        rows = self._read(state, pool, state.session)
        herd = herding(
            rows.vectors[:, 1:].reshape(len(rows.labels), -1),
            rows.labels,
            rows.weights,
            max_classes=classes,
            count=count,
            ids=pool.clip,
        )
        lacking = memory.weights.max(1) == 0

        def chosen(old: Array, of_rows: Array) -> Array:
            shape = (-1, *[1] * (old.ndim - 1))
            taken = of_rows[herd.rows] * herd.weights.reshape(*herd.weights.shape, *[1] * (old.ndim - 2))
            return jnp.where(lacking.reshape(shape), taken, old)

        weights = jnp.where(lacking[:, None], herd.weights, memory.weights)
        memory = memory._replace(
            tokens=chosen(memory.tokens, rows.tokens), vectors=chosen(memory.vectors, rows.vectors), weights=weights
        )
        kept = dual.rows_of(memory)
        fresh = kept._replace(weights=kept.weights * lacking[kept.labels])
        return state._replace(memory=memory, heads=dual.with_means(state.heads, fresh))

    def prepare(
        self, variables: Variables, state: LearnerState, shots: Shots, key: Array
    ) -> tuple[Variables, LearnerState]:
        assert self.classifier is not None
        sizes = self._sizes(state.heads.kernel.shape[1])
        return base_training.trained(self.classifier, sizes, variables, state, shots, key, self.base_epochs)

    def bytes_held(self, state: LearnerState) -> int:
        """Adapters so far, the heads' part of known classes, and exemplars as audio."""
        sessions, classes = int(state.session), int(np.asarray(state.seen).sum())
        width = state.heads.kernel.shape[1]
        adapters = sessions * dual_embedding.adapter_bytes(self._sizes(width), width)
        heads = 4 * classes * ((3 * sessions + 1) * width + 2)
        exemplars = int(np.asarray(state.memory.weights).sum()) * int(state.memory.clip_bytes)
        return adapters + heads + exemplars

    def as_head(self, state: LearnerState, head: str) -> LearnedHead:
        """Distances between unit vectors are products with them, so `nme` is linear in the unit embedding too."""
        sessions, heads = int(state.session), state.heads
        sizes = self._sizes(heads.kernel.shape[1])
        classes = len(heads.count)
        adapters = jax.tree.map(lambda leaf: leaf[:sessions], state.params["adapters"])
        if head == "prototype":
            kernel = unit_rows(heads.prototypes[:, : sessions + 1].reshape(classes, -1)).T
            bias = jnp.zeros(classes)
        elif head == "linear":
            kernel, bias = heads.kernel[:sessions].reshape(-1, classes), heads.bias
        else:
            means = heads.means[:, :sessions].reshape(classes, -1)
            kernel, bias = 2 * means.T, -1 - jnp.square(means).sum(1)
        options = {
            "adapters": sessions,
            **sizes._asdict(),
            "unit": head != "linear",
            "scale": self.scale if head == "prototype" else 1.0,
            "first": head == "prototype",
            "initial": bool(state.params["prepared"]),
        }
        return LearnedHead("joined", options, {"adapters": adapters, "kernel": kernel, "bias": bias})

    def _sizes(self, width: int) -> Sizes:
        if self.classifier is None:
            return Sizes(max(1, width // 64), 4 * width, 1e-6)
        return dual_embedding.sizes_of(self.classifier.config, width)

    def _split(self, state: LearnerState, inputs: Array) -> tuple[Array, Array]:
        """G's tokens, and I's part of the embedding: one row more where I is another network, else their mean."""
        count = state.memory.tokens.shape[-2]
        if inputs.shape[-2] == count + 1:
            return inputs[:, :count], inputs[:, count]
        epsilon = self._sizes(inputs.shape[-1]).epsilon
        return inputs, dual_embedding.mean_of_normed(inputs, state.params["norm"], epsilon)

    def _read(self, state: LearnerState, shots: Shots, count: Array) -> Rows:
        """The shots with the outputs of the first `count` adapters; zeros where there is no clip."""
        real = (shots.weights > 0).astype(jnp.float32)
        inputs = jnp.where(real[:, None, None] > 0, shots.inputs, 0.0)
        tokens, first = self._split(state, inputs)
        parts, sizes = state.heads.prototypes.shape[1], self._sizes(inputs.shape[-1])
        vectors = dual.vectors_of(state.params["adapters"], sizes, tokens, first, count, parts)
        return Rows(tokens, vectors, jnp.where(real > 0, shots.labels, 0), real)

    def _with_part(self, rows: Rows, adapter: Any, session: Array) -> Rows:
        made = dual.adapted_in_chunks(adapter, self._sizes(rows.tokens.shape[-1]), rows.tokens)
        return rows._replace(vectors=rows.vectors.at[:, session + 1].set(made))

    def _train(
        self, start: Any, rows: Rows, targets: Array, session: Array, seen: Array, fresh: Array, orders: Array
    ) -> tuple[Any, dict[str, Array]]:
        sizes = self._sizes(rows.tokens.shape[-1])
        known = jnp.arange(1 + len(seen)) <= fresh.sum()
        alpha = jnp.where(session == 0, 0.0, self.alpha)

        def loss(params: Any, batch: Array, weights: Array) -> tuple[Array, dict[str, Array]]:
            made = dual.adapted(params["adapter"], sizes, rows.tokens[batch])
            parts = rows.vectors[batch, 1:].at[:, session].set(made)
            logits = jnp.einsum("bsw,swc->bc", parts, params["kernel"]) + params["bias"][None]
            value = cross_entropy(jnp.where(seen[None] > 0, logits, -jnp.inf), rows.labels[batch], weights)
            aux_logits = jnp.matmul(made, params["aux_kernel"]) + params["aux_bias"][None]
            aux = cross_entropy(jnp.where(known[None], aux_logits, -jnp.inf), targets[batch], weights)
            return value + alpha * aux, {"loss": value, "aux": aux}

        epochs = jnp.where(session == 0, self.first_epochs, self.epochs)
        return descend(loss, start, orders, rows.weights, DESCENT, epochs)

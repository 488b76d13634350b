"""Source training with an auxiliary task beside the classes, for test-time training: was the clip shifted, rotated?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.nets.normalisers import TRAIN
from dhauds_jax.nets.normalisers import batch as batch_statistics
from dhauds_jax.train.request import LABELS, TASKS
from dhauds_jax.train.views import TrainBatch
from dhauds_jax.tta import losses
from dhauds_jax.tta.aux_tasks import TASKS as AUX_TASKS
from dhauds_jax.tta.aux_tasks import check_head, random_labels
from dhauds_jax.types import Classifier, Variables

AuxLoss = Callable[[Any, Mapping[str, Any], TrainBatch, Array], tuple[Array, Mapping[str, Any]]]


def check_aux_options(options: Any, variables: Variables) -> None:
    """Raises `BadInput` in one sentence for options that cannot be, or that the network has no head for."""
    for name, known in (("aux_task", TASKS), ("aux_labels", LABELS)):
        if getattr(options, name) not in known:
            raise BadInput(f"--{name}={getattr(options, name)}: expected {', '.join(known[:-1])} or {known[-1]}")
    if not 0.0 < options.aux_shift < 1.0:
        raise BadInput(f"--aux_shift={options.aux_shift}: expected a share of the clip between 0 and 1")
    if options.aux_task != "none" and "aux" not in variables["params"]:
        raise BadInput(
            f"--aux_task={options.aux_task}: the network has no auxiliary head, expected one that has, such as "
            f"--net=tta_in_ac_resnet26_{'rotation_am' if options.aux_task == 'rotation' else 'sc1'}"
        )


def make_aux_loss(
    classifier: Classifier,
    options: Any,
    view: Callable[[Array, TrainBatch], Array],
    axis_name: str | None = None,
) -> AuxLoss | None:
    """The second loss of a training step, `(params, batch_stats, batch, key) -> (loss, batch_stats)`; None for none.

    Mean cross-entropy of the auxiliary head over the clips, each shifted or rotated by a random label, or
    ("expand") all clips under each label. Only the extractor and the auxiliary head take new BatchNorm statistics from
    them.

    Args:
      classifier: a network with an auxiliary head.
      options: the recipe, a `train.request.TrainOptions`.
      view: `(key, batch) -> wave`, the clips at the network's length.
      axis_name: the mapped axis over which the batch is spread.

    Source: Sun et al., ICML 2020, arXiv 1909.13231, equation 1; TTA-in-AC, ttt/pre_time_shift_train.py and
    ttt/pre_angle_shift_train.py.
    """
    if options.aux_task == "none":
        return None
    task, classes = AUX_TASKS[options.aux_task], len(AUX_TASKS[options.aux_task].classes)

    def loss(
        params: Any, batch_stats: Mapping[str, Any], batch: TrainBatch, key: Array
    ) -> tuple[Array, Mapping[str, Any]]:
        wave, weights = view(jax.random.fold_in(key, 0), batch), batch.weights
        labels = random_labels(jax.random.fold_in(key, 2000), batch.index, 1, classes)[:, 0]
        if options.aux_labels == "expand":
            labels, weights = jnp.repeat(jnp.arange(classes), wave.shape[0]), jnp.tile(weights, classes)
            views = jnp.swapaxes(task.views(classifier, wave, options.aux_shift), 0, 1)
            features = views.reshape(-1, *views.shape[2:])
        else:
            features = task.view(classifier, wave, labels, options.aux_shift)
        outputs, new = classifier.apply_features(
            {"params": params, "batch_stats": batch_stats},
            features,
            mode=TRAIN._replace(aux=batch_statistics),
            weights=weights,
            rngs={"dropout": jax.random.fold_in(key, 2001)},
            axis_name=axis_name,
        )
        check_head(f"--aux_task={options.aux_task}", options.aux_task, outputs.aux.shape[-1])
        rows = optax.softmax_cross_entropy_with_integer_labels(outputs.aux, labels)
        kept = masks.split(batch_stats, "aux_path")[1]
        return losses.weighted_mean(rows, weights, axis_name), masks.merge(masks.split(new, "aux_path")[0], kept)

    return loss

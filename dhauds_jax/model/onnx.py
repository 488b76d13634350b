"""A model as one ONNX graph, by jax2onnx, with the few operations written otherwise that it or a runtime lacks."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jax.extend import core
from jaxtyping import Array

from dhauds_jax.errors import BadInput
from dhauds_jax.model.record import Model
from dhauds_jax.nets import precision
from dhauds_jax.nets.normalisers import EVAL

EXTRA = "'dhauds_jax[onnx]'"
INPUT, OUTPUT = "waves", "probabilities"
INSTALLED_BY = {"onnx": EXTRA, "onnx_ir": EXTRA, "onnxruntime": EXTRA, "jax2onnx": "--no-deps 'jax2onnx>=0.17.1'"}
"""Packages, and what pip is to be given. jax2onnx asks for an older orbax-checkpoint than ours, and does not use it."""
MOST_MIB = 2000
"""What weights may take: a file of protocol buffers holds less than 2 GiB."""
TOLERANCE = 1e-4
"""What a probability may differ from the model's own: rounding alone, 1e-7 to 1e-6 for the families here."""


class _Complex:
    """The two halves of a complex array: runtimes of ONNX have no complex numbers."""

    def __init__(self, real: Array, imag: Array):
        self.real, self.imag = real, imag


def _rfft(x: Array, *, fft_type: Any, fft_lengths: Sequence[int]) -> _Complex:
    """A real Fourier transform of the last axis as two products with matrices."""
    (size,) = fft_lengths
    if fft_type != jax.lax.FftType.RFFT:
        raise NotImplementedError(f"a Fourier transform of type {fft_type} has no counterpart in ONNX here")
    angles = 2 * np.pi * (np.outer(np.arange(size), np.arange(size // 2 + 1)) % size) / size
    cosines, sines = (jnp.asarray(table, x.dtype) for table in (np.cos(angles), -np.sin(angles)))
    exact = jax.lax.Precision.HIGHEST
    return _Complex(jnp.matmul(x, cosines, precision=exact), jnp.matmul(x, sines, precision=exact))


def _pad(x: Array, value: Any, *, padding_config: Sequence[tuple[Any, Any, Any]]) -> Array:
    """Padding as concatenation: jax2onnx's own knows no batch of any size."""
    if any(low < 0 or high < 0 or between for low, high, between in padding_config):
        return jax.lax.pad(x, value, padding_config)
    for axis, (low, high, _) in enumerate(padding_config):
        ends = [jnp.broadcast_to(value, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in (low, high)]
        parts = [part for part in (ends[0], x, ends[1]) if part.shape[axis] != 0]
        x = parts[0] if len(parts) == 1 else jax.lax.concatenate(parts, axis)
    return x


_RULES: dict[str, Callable[..., Any]] = {
    "fft": _rfft,
    "real": lambda z: z.real,
    "imag": lambda z: z.imag,
    "pad": _pad,
}
_INSIDE = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Operations that are a function, by the name of the parameter that holds it."""


def _rewritten(jaxpr: core.Jaxpr, consts: Sequence[Any], *inputs: Any) -> list[Any]:
    """Evaluates traced operations, those of `_RULES` otherwise."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))
    for eqn in jaxpr.eqns:
        given = [one.val if isinstance(one, core.Literal) else known[one] for one in eqn.invars]
        name = eqn.primitive.name
        if name in _RULES:
            found = [_RULES[name](*given, **{key: eqn.params[key] for key in _PARAMETERS.get(name, ())})]
        elif name in _INSIDE:
            inner = eqn.params[_INSIDE[name]]
            found = _rewritten(inner.jaxpr, inner.consts, *given)
        else:
            found = eqn.primitive.bind(*given, **eqn.params)
            found = found if eqn.primitive.multiple_results else [found]
        known.update(zip(eqn.outvars, found, strict=True))
    return [one.val if isinstance(one, core.Literal) else known[one] for one in jaxpr.outvars]


_PARAMETERS = {"fft": ("fft_type", "fft_lengths"), "pad": ("padding_config",)}


def check(model: Model) -> None:
    """Raises `BadInput` where no graph can be written: what is not installed, weights too large for one file."""
    for name, how in INSTALLED_BY.items():
        if importlib.util.find_spec(name) is None:
            raise BadInput(f"--format=onnx: {name} is not installed, expected: pip install {how}")
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(model.variables)) / 2**20
    if size > MOST_MIB:
        raise BadInput(
            f"--format=onnx: {model.config.net} has {size:,.0f} MiB of weights, expected at most {MOST_MIB:,} MiB, "
            "which one file of ONNX holds; give --format=stablehlo"
        )


@precision.exactly()
def graph(model: Model) -> bytes:
    """`(batch, length) float32 waves -> (batch, classes) probabilities` as an ONNX model, for any batch size.

    It was run by onnxruntime and said what the model says.

    Raises:
      BadInput: see `check`; a network that jax2onnx cannot convert.
    """
    check(model)
    with _quiet():
        from jax2onnx import to_onnx

    def probabilities(waves: jax.Array) -> jax.Array:
        outputs, _ = model.classifier.apply(model.variables, waves, mode=EVAL)
        return model.traced_probabilities(outputs.logits.astype(jnp.float32))

    (batch,) = jax_export.symbolic_shape("batch")
    waves = jax.ShapeDtypeStruct((batch, model.config.length), jnp.float32)
    # Traced here: what jax2onnx puts in place of JAX's functions while it traces does not know Flax's scan.
    traced = jax.make_jaxpr(probabilities)(waves)

    def otherwise(waves: jax.Array) -> jax.Array:
        return _rewritten(traced.jaxpr, traced.consts, waves)[0]

    names = {"model_name": model.config.net, "input_names": [INPUT], "output_names": [OUTPUT]}
    try:
        with _quiet():
            made = to_onnx(otherwise, [waves], **names).SerializeToString()
    except NotImplementedError as error:
        raise BadInput(
            f"--format=onnx: {model.config.net} cannot be converted ({error}); give --format=stablehlo"
        ) from error
    _compare(model, made, jax.jit(probabilities))
    return made


def _compare(model: Model, made: bytes, probabilities: Callable[[jax.Array], jax.Array]) -> None:
    """Raises `BadInput` where a graph does not say what the model says, of three windows of noise."""
    import onnxruntime

    waves = np.random.default_rng(0).normal(0.0, 0.1, (3, model.config.length)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of constants that the graph has and does not use
    session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: waves})
    off = float(np.abs(found - np.asarray(probabilities(waves))).max())
    if not off <= TOLERANCE:
        raise BadInput(
            f"--format=onnx: the graph of {model.config.net} gives probabilities that are off by {off:.2g}, expected "
            f"at most {TOLERANCE:g}; give --format=stablehlo"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of converters for libraries that are not here, and of values whose type is not written down."""
    logs = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)

"""One pure update, three ways to run it: `jit` on one device, `pmap` over devices, `jit` over a mesh of devices.

Rows of a batch are shared out over the devices, everything else is on all of them. Every quantity that couples a batch
is a ratio of `total`s and gradients take one `pmean`, so the three ways give the numbers of one device up to the
order of sums. With several processes (`start`) each holds the whole set, computes its own devices' rows, and ends with
all results; the first one writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from dhauds_jax.errors import BadInput

KINDS = ("jit", "pmap", "mesh")
"""Ways to run an update."""

AXIS = "batch"
"""The name of the axis over which `pmap` and the mesh spread a batch."""


class Parallel(NamedTuple):
    """Where and how updates run; `make` builds it.

    Attributes:
      kind: of `KINDS`.
      mesh: the devices that this process lays rows out on: its own for "pmap", all for "mesh", None for "jit".
    """

    kind: str = "jit"
    mesh: Mesh | None = None

    @property
    def axis_name(self) -> str | None:
        """What a method must be built with: the mapped axis of `pmap`; elsewhere the compiler sees the whole batch."""
        return AXIS if self.kind == "pmap" else None

    @property
    def devices(self) -> int:
        """Devices of all processes that share a batch."""
        return 1 if self.kind == "jit" else jax.device_count()

    def describe(self) -> dict[str, Any]:
        """What a record says of it: nothing for one device, else the way, devices and processes."""
        if self.kind == "jit":
            return {}
        return {"parallel": {"kind": self.kind, "devices": self.devices, "processes": jax.process_count()}}


ONE = Parallel()
"""One device."""


def make(kind: str) -> Parallel:
    """The way named `kind`, over all devices of all processes.

    Raises:
      BadInput: an unknown kind, or "jit" in a run of several processes.
    """
    if kind not in KINDS:
        raise BadInput(f"--parallel={kind}: expected one of {', '.join(KINDS)}")
    if kind == "jit":
        if jax.process_count() > 1:
            raise BadInput(
                f"--parallel=jit: uses one device, and this run has {jax.process_count()} processes; expected pmap or "
                "mesh"
            )
        return ONE
    devices = jax.local_devices() if kind == "pmap" else jax.devices()
    return Parallel(kind, Mesh(np.asarray(devices), (AXIS,)))


def start(coordinator: str | None, num_processes: int, process_id: int) -> Callable[[], None]:
    """Joins the processes of a run, before anything computes; every process runs the same command but for its number.

    Processes other than the first print nothing and show no progress. Nothing happens for one process.

    Args:
      coordinator: HOST:PORT of the first process, reachable from all.
      num_processes: how many there are.
      process_id: this one's number, from 0.

    Returns:
      What undoes it: leaves the run, prints again. A command ends with its process and need not call it.

    Raises:
      BadInput: flags that do not fit together.
    """
    if num_processes == 1 and coordinator is None and process_id == 0:
        return lambda: None
    if num_processes < 2 or not coordinator or ":" not in coordinator:
        raise BadInput(
            f"--coordinator={coordinator} --num_processes={num_processes}: expected HOST:PORT of the first process and "
            "at least 2 processes, or neither flag"
        )
    if not 0 <= process_id < num_processes:
        raise BadInput(f"--process_id={process_id}: expected 0 to {num_processes - 1}")
    with contextlib.ExitStack() as undo:
        if process_id:
            os.environ["TQDM_DISABLE"] = "1"
            undo.callback(os.environ.pop, "TQDM_DISABLE", None)
        jax.distributed.initialize(coordinator, num_processes, process_id)
        undo.callback(jax.distributed.shutdown)
        _connect()
        if process_id:
            nowhere = undo.enter_context(open(os.devnull, "w"))
            undo.enter_context(contextlib.redirect_stdout(nowhere))
        return undo.pop_all().close


def _connect() -> None:
    """Lets all devices of all processes meet in one small sum.

    On CPUs they connect in their first collective, and give up when one comes there 30 s after another: a slower host
    may take that long to read its data or to compile. Connected devices wait.
    """
    where = make("mesh")
    ones = put_rows(where, np.ones(where.devices, np.float32))
    whole = NamedSharding(where.mesh, PartitionSpec())
    jax.block_until_ready(jax.jit(lambda x: x.sum(), out_shardings=whole)(ones))


def writes() -> bool:
    """Whether this process is the one that writes files: the first one of a run."""
    return jax.process_index() == 0


def wait(what: str) -> None:
    """Returns when all processes of the run have come here; `what` names the place and is the same in all."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f"dhauds_jax.{what}")


def of_first(value: int) -> int:
    """The first process's number (32 bits), in every process; all must call."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def same_everywhere(value: int, what: str) -> None:
    """Raises `BadInput` unless all processes hold the same number, such as the step they resume from."""
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    found = np.asarray(multihost_utils.process_allgather(np.int64(value)))
    if len(set(found.tolist())) > 1:
        raise BadInput(
            f"the processes found different {what} ({', '.join(map(str, found.tolist()))}), expected one --workdir on "
            "a disk that all of them see"
        )


def rows_sharding(parallel: Parallel, stacked: bool) -> NamedSharding:
    """Where rows lie: spread over the mesh along their axis, which is the second one when several batches are stacked.

    For "pmap" the first axis is the device in both cases.
    """
    spec = (None, AXIS) if stacked and parallel.kind == "mesh" else (AXIS,)
    return NamedSharding(parallel.mesh, PartitionSpec(*spec))


def put_rows(parallel: Parallel, tree: Any, stacked: bool = False) -> Any:
    """Numpy arrays (rows, ...), or (batches, rows, ...) when `stacked`, on the devices; the rows are shared out.

    "pmap" gets (local devices, rows a device, ...), or (local devices, batches, rows a device, ...); the others keep
    the shape.
    """
    if parallel.kind == "jit":
        return jax.tree.map(jnp.asarray, tree)
    sharding = rows_sharding(parallel, stacked)

    def put(x: np.ndarray) -> jax.Array:
        x = np.asarray(x)
        if parallel.kind == "mesh":
            return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
        axis, count = int(stacked), jax.process_count()
        share = x.shape[axis] // count
        mine = x.take(range(jax.process_index() * share, (jax.process_index() + 1) * share), axis) if count > 1 else x
        local = parallel.mesh.size
        by_device = mine.reshape(*mine.shape[:axis], local, share // local, *mine.shape[axis + 1 :])
        return jax.device_put(np.moveaxis(by_device, axis, 0), sharding)

    return jax.tree.map(put, tree)


def everywhere(parallel: Parallel, tree: Any) -> Any:
    """A fresh copy on all devices, whose buffers may be donated."""
    if parallel.kind == "jit":
        return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)
    sharding = NamedSharding(parallel.mesh, PartitionSpec())

    def put(x: Any) -> jax.Array:
        x = np.array(x, copy=True)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: np.array(x[index], copy=True))

    return jax.tree.map(put, tree)


def here(parallel: Parallel, tree: Any) -> Any:
    """What lies on all devices, as arrays of this process's first device alone."""
    if parallel.kind == "jit":
        return tree
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), tree)


def spread(parallel: Parallel, function: Callable[..., tuple[Any, Any]], *, donate: bool = False, rest: int = 0) -> Any:
    """Compiles `function(state, batch, *rest) -> (kept, rows)` to run on all devices.

    Args:
      parallel: where.
      function: built with `parallel.axis_name`; `kept` must be equal on all devices, `rows` are (batch rows, ...).
      donate: whether the state's buffers are given up.
      rest: how many more arguments there are, equal on all devices.

    Returns:
      A function of the same arguments whose results lie whole on every device.
    """
    donated = (0,) if donate else ()
    if parallel.kind == "jit":
        return jax.jit(function, donate_argnums=donated)
    if parallel.kind == "mesh":
        whole = NamedSharding(parallel.mesh, PartitionSpec())
        return jax.jit(function, donate_argnums=donated, out_shardings=whole)

    def on_one(state: Any, batch: Any, *more: Any) -> tuple[Any, Any]:
        kept, rows = function(state, batch, *more)
        return kept, jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True), rows)

    axes = (None, 0, *([None] * rest))
    return jax.pmap(on_one, axis_name=AXIS, in_axes=axes, out_axes=None, donate_argnums=donated)


def spread_rows(
    parallel: Parallel, function: Callable[[Any, Any], Any], compiler_options: Mapping[str, Any] | None = None
) -> Callable[[Any, Any], Any]:
    """Compiles `function(state, batch) -> rows`, which changes nothing, to run on all devices (see `spread`).

    `compiler_options` go to XLA (one device alone).
    """
    if parallel.kind == "jit":  # bare and by its name: an equal program elsewhere then shares its compilation
        return jax.jit(function, compiler_options=compiler_options)
    run = spread(parallel, lambda state, batch: ((), function(state, batch)))
    return lambda state, batch: run(state, batch)[1]


def whole_batch(rows: Any, axis_name: str | None) -> Any:
    """All rows of the batch, in device order, from each device's own: a pytree of (rows, ...) arrays.

    Sums over the batch go through `total`, which is cheaper; gradients must not flow through this.
    """
    if axis_name is None:
        return rows
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, tiled=True), rows)


def own_rows(whole: Shaped[Array, "batch *rest"], count: int, axis_name: str | None) -> Shaped[Array, "{count} *rest"]:
    """This device's `count` rows of the whole batch: the inverse of `whole_batch`."""
    if axis_name is None:
        return whole
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(axis_name) * count, count)


def total(x: Any, axis_name: str | None) -> Any:
    """Sums a pytree of partial sums over `axis_name`: the one helper of everything that couples a batch.

    Every batch-coupled quantity is a ratio of totals of weighted sums, so a batch spread over devices gives the numbers
    of one device; gradients then take one `pmean` (see `spread`).
    """
    if axis_name is None:
        return x
    return jax.lax.psum(x, axis_name)

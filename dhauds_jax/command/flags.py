"""Flags that several commands share: on which devices, in how many processes and with what precision they compute.

Each function defines its flags for the main that calls it, so that `--help` of that main shows them.
"""

from __future__ import annotations

from absl import flags

flags.disclaim_key_flags()

FLAGS = flags.FLAGS


def define_parallel() -> None:
    """`--parallel`, and what processes of one run must know of each other; `start` reads the latter."""
    flags.DEFINE_enum(
        "parallel",
        "jit",
        ["jit", "pmap", "mesh"],
        "How updates run: jit on one device; pmap or mesh (jit with NamedSharding) on all, a batch shared out over "
        "them.",
    )
    flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of the first of several processes, one a host; all share --workdir."
    )
    flags.DEFINE_integer(
        "num_processes", 1, "Processes of this run; each is given the same flags but for --process_id."
    )
    flags.DEFINE_integer("process_id", 0, "Number of this process, from 0; process 0 prints and writes.")


def define_updates_per_dispatch() -> None:
    """`--updates_per_dispatch`."""
    flags.DEFINE_integer(
        "updates_per_dispatch",
        1,
        "Updates of an offline epoch in one dispatch (lax.scan); more pays where updates are short.",
    )


def define_precision() -> None:
    """`--precision`."""
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "tf32", "bfloat16"],
        "Products of the network: exact float32, tf32 (10 bits, on GPUs that have it; on a CPU the same as float32) or "
        "bfloat16 (7 bits). Parameters, norms, softmax and losses are float32 in all.",
    )


def define_remat() -> None:
    """`--remat`."""
    flags.DEFINE_bool(
        "remat",
        False,
        "Recompute blocks in the backward pass: slower, but long clips (10 s) then fit into less memory.",
    )


def start() -> None:
    """Joins the processes that the flags of `define_parallel` name; before anything computes.

    Raises:
      BadInput: flags that do not fit together.
    """
    from dhauds_jax import parallel

    parallel.start(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)

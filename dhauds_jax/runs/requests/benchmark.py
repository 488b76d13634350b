"""What `experiments.benchmark` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import CORRUPTIONS
from dhauds_jax.requests import PARALLEL, PRECISIONS, Request, flag, listed


@dataclass(frozen=True, kw_only=True)
class Benchmark(Request):
    """The flags of `experiments.benchmark`."""

    what: Sequence[str] = flag(
        "What to time: forward (evaluation pass), adapt (one update), corrupt (whole -C cells), pipeline, compile (of "
        "forward and update in fresh processes, without and with a filled cache), parts (a table of a net's hot "
        "spots), clap (the towers of an audio-text model and its front end), soundscapes (from files to files), "
        "incremental (all sessions of a class-incremental learner, the network read once a clip).",
        ("forward", "adapt"),
    )
    net: Sequence[str] = flag("Networks, names of the zoo (--list names them).", ("hubert_base",), names="net")
    classes: int = flag("Classes of the network.", 35)
    batch: int = flag("Clips in a batch.", 8)
    seconds: float = flag("Clip length in seconds; 0 takes the network's own.", 0.0)
    dtype: str = flag("Type of the arithmetic; weights are float32.", "float32", choices=PRECISIONS)
    compute: Sequence[str] = flag(
        "How to compute the network, key=value of its family: attention=cudnn, scan=false, remat=true.", ()
    )
    method: Sequence[str] = flag(
        "Methods of the timed update, or all; those that cannot run say why.", ("dhauds",), names="method"
    )
    options: Sequence[str] = flag("Options of the methods or learners, key=value or method.key=value.", ())
    learner: Sequence[str] = flag("incremental: learners that are timed.", ("ede", "ridge"), names="learner")
    seeds: int = flag("incremental: seeds at once, by vmap, against as many one after the other (1: neither).", 1)
    tests: int = flag("incremental: clips of each class that are tested.", 100)
    corruption: Sequence[str] = flag(
        f"Corruptions to time: {listed(CORRUPTIONS)}, or all.", ("all",), names="corruption"
    )
    rounds: int = flag("Timed repetitions; the median is reported, with the fastest and the slowest.", 5)
    json: bool = flag("Print nothing but one JSON object a line.", False)
    from_features: bool = flag(
        "Start behind the front end (log-mel, fbank); two-view methods then roll whole frames.", False
    )
    layer_drop: float | None = flag("Chance that a HuBERT block is skipped, 0 to 1 (default: the network's).", None)
    updates_per_dispatch: int = flag("Updates of adapt in one call (lax.scan); seconds are of one update.", 1)
    profile: str = flag("Folder for traces of a few calls of each program (TensorBoard, Perfetto).", "")
    vs_torch: bool = flag(
        "Runs PyTorch on the same work (benchmarks/yardstick, from features) in a process of its own, in turns with "
        "ours: at least 7 rounds, up to 31 until the ratio of clips/s, ours over its, is known to 20 %. Needs torch. "
        "With it --net=all stands for a network of each family and --method=all for the methods that it has. "
        "clap, incremental: benchmarks/torch_clap.py and torch_incremental.py, run just before ours.",
        False,
    )
    torch_compile: bool = flag("With --vs_torch: the same as --torch_modes=compiled.", False)
    torch_modes: Sequence[str] = flag(
        "With --vs_torch: ways to run PyTorch, of which the fastest counts: eager, compiled, channels_last and, beside "
        "float32 only said, bf16 (default: all that apply). A HuBERT has LayerDrop 0 in both unless --layer_drop is "
        "given.",
        (),
    )
    parallel: str = flag(
        "adapt: on one device, or the batch shared out over all that there are.", "jit", choices=PARALLEL
    )

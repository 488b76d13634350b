"""Times forward passes, updates, their compilation and parts, corruptions and the input pipeline, on made-up data.

Example: python -m experiments.benchmark --what=forward,adapt --net=hubert_base --batch=8 --seconds=1 --json
A table of hot spots: --what=parts. Compilation, cold and cached: --what=compile. PyTorch beside it: --vs_torch.

A row has `seconds` (median of a batch), `fastest`, `slowest`, `quartiles` (25 and 75 %), `first_call` (s, tracing and
compilation included), `clips_per_s`; forward and adapt also `gflops_per_clip` (XLA's count of the program as written),
`tflops` (TFLOP/s by that count), `peak_tflops` (TFLOP/s of a large product in this run) and `peak_share` of it,
`copy_gb_s` (GB/s of a large elementwise copy), `bytes_per_clip` (XLA's count after fusion; null where blocks are a
loop, whose body counts once), `temporary_mb` and `peak_memory_mb` (MiB). corrupt: `ms_per_clip`, `cells_per_s` (sets of
`batch` clips a second). compile: `cold_s`, `cached_s` (s, tracing to the end of the first call). parts: `gflop`,
`moved_mb` (10^6 bytes), `share` of the whole, `bound` and `gap` (time over what the device's limits allow).
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "what",
    ["forward", "adapt"],
    "What to time: forward (evaluation pass), adapt (one update), corrupt (whole -C cells), pipeline, compile (of "
    "forward and update in fresh processes, without and with a filled cache), parts (a table of a net's hot spots).",
)
flags.DEFINE_list("net", ["hubert_base"], "Networks, names of the zoo (an unknown one lists them).")
flags.DEFINE_integer("classes", 35, "Classes of the network.")
flags.DEFINE_integer("batch", 8, "Clips in a batch.")
flags.DEFINE_float("seconds", 0.0, "Clip length in seconds; 0 takes the network's own.")
flags.DEFINE_enum("dtype", "float32", ["float32", "tf32", "bfloat16"], "Type of the arithmetic; weights are float32.")
flags.DEFINE_list(
    "compute", [], "How to compute the network, key=value of its family: attention=cudnn, scan=false, remat=true."
)
flags.DEFINE_list("method", ["dhauds"], "Methods of the timed update, or all; those that cannot run say why.")
flags.DEFINE_list("options", [], "Options of the method, key=value.")
flags.DEFINE_list("corruption", ["all"], "Corruptions to time: WHN, ENQ, END1, END2, ENSC, PSH, TST, or all.")
flags.DEFINE_integer("rounds", 5, "Timed repetitions; the median is reported, with the fastest and the slowest.")
flags.DEFINE_bool(
    "from_features", False, "Start behind the front end (log-mel, fbank); two-view methods then roll whole frames."
)
flags.DEFINE_float("layer_drop", None, "Chance that a HuBERT block is skipped, 0 to 1 (default: the network's).")
flags.DEFINE_integer("updates_per_dispatch", 1, "Updates of adapt in one call (lax.scan); seconds are of one update.")
flags.DEFINE_string("profile", "", "Folder for traces of a few calls of each program (TensorBoard, Perfetto).")
flags.DEFINE_bool(
    "vs_torch",
    False,
    "Runs benchmarks/torch_adaptation.py on the same work just before and gives the ratio of clips/s, ours over its; "
    "needs torch, and a net that it has: HuBERT base, or amaut_small and amaut_arabic15 with --from_features.",
)
flags.DEFINE_bool("torch_compile", False, "With --vs_torch: torch.compile; LayerDrop is then 0 in both.")
flags.DEFINE_enum(
    "parallel", "jit", ["jit", "pmap", "mesh"], "adapt: on one device, or the batch shared out over all that there are."
)
flags.DEFINE_bool("json", False, "Print nothing but one JSON object a line.")


def main() -> str:
    from dhauds_jax.runs.benchmark import Benchmark, benchmark

    return benchmark(Benchmark(**{name: getattr(FLAGS, name) for name in Benchmark._fields}))


if __name__ == "__main__":
    app.run(main)

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

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.benchmark import Benchmark

flags.flags_of(Benchmark)


def main() -> str:
    outputs.check("profile")
    from dhauds_jax.runs.benchmark import benchmark

    return benchmark(flags.from_flags(Benchmark))


if __name__ == "__main__":
    app.run(main)

"""Times forward passes, adaptation steps, corruptions and the input pipeline on this machine, on made-up data.

Example: python -m experiments.benchmark --what=forward,adapt --net=hubert_base --batch=8 --seconds=1 --json
PyTorch beside it: python benchmarks/torch_adaptation.py --batch 8 (needs torch and torchaudio).
"""

from __future__ import annotations

from absl import flags

from dhauds_jax import app

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "what", ["forward", "adapt"], "What to time: forward (evaluation pass), adapt (one update), corrupt, pipeline."
)
flags.DEFINE_string("net", "hubert_base", "Network, a name of the zoo (an unknown one lists them).")
flags.DEFINE_integer("classes", 35, "Classes of the network.")
flags.DEFINE_integer("batch", 8, "Clips in a batch.")
flags.DEFINE_float("seconds", 0.0, "Clip length in seconds; 0 takes the network's own.")
flags.DEFINE_enum("dtype", "float32", ["float32", "tf32", "bfloat16"], "Type of the arithmetic; weights are float32.")
flags.DEFINE_list(
    "compute", [], "How to compute the network, key=value of its family: attention=cudnn, scan=false, remat=true."
)
flags.DEFINE_string("method", "dhauds", "Method of the timed update.")
flags.DEFINE_list("options", [], "Options of the method, key=value.")
flags.DEFINE_list("corruption", ["all"], "Corruptions to time: WHN, ENQ, END1, END2, ENSC, PSH, TST, or all.")
flags.DEFINE_integer("rounds", 5, "Timed repetitions; the median is reported, with the fastest and the slowest.")
flags.DEFINE_bool("json", False, "Print nothing but one JSON object a line.")


def main() -> str:
    from experiments.benchmark_run import Benchmark, benchmark

    return benchmark(Benchmark(**{name: getattr(FLAGS, name) for name in Benchmark._fields}))


if __name__ == "__main__":
    app.run(main)

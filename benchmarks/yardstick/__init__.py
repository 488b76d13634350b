"""PyTorch beside the benchmark: networks and methods written plainly, and the process that is timed in turns with ours.

Nothing here imports JAX; `dhauds_jax.benchmark.pairs` talks to `side.py` in a process of its own.
"""

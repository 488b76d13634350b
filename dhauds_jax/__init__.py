"""dhauds_jax: test-time adaptation of audio classifiers in functional JAX."""

__version__ = "0.1.0"

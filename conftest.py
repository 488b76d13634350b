"""Installs shape checking before anything imports the package, and fixes the numerics that the goldens need."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import jaxtyping

import tests.typecheck  # noqa: F401  (the hook looks it up as an attribute of `tests`)

jaxtyping.install_import_hook("dhauds_jax", "tests.typecheck.check")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_platforms", "cpu")

"""Training-free scorers, one file each; `dhauds_jax.names.SCORERS` names them."""

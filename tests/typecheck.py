"""The run-time checker that jaxtyping's import hook uses in tests."""

from beartype import BeartypeConf, beartype

# PEP 484's numeric tower, so that `snr_db: float` accepts 5.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))

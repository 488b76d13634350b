"""Small copies of the sets of spoken words, and of the noise corpora."""

FAKES = {}

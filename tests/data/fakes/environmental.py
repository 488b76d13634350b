"""Small copies of the sets of voices, scenes, towns and reefs."""

FAKES = {}

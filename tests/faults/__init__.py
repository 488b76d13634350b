"""The reliability campaign: what commands do when they are killed, starved, fed rubbish and run for long.

`python -m tests.faults` runs campaigns, notes every try in docs/records/faults/ and renders docs/reliability.md from
these records. Tests marked `faults` are a short share of it with fixed seeds (`python -m pytest -m faults`). They go
through rooms, so they mirror no file of the package.
"""

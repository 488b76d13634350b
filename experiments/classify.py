"""Adapts a classifier to a folder of unlabelled recordings and labels them.

Example: python -m experiments.classify --checkpoint=out/train/checkpoint --audio_dir=recordings --method=tent \
--output=out/labels
Writes OUTPUT/predictions.csv (label and confidence of each file, before and after adaptation, and the next two labels),
probabilities.csv (every class), segments.csv and audacity/ (labels over time of long files), checkpoint (the adapted
classifier) and report.md (what changed, signs of trouble, whether to keep the source model). What is shorter than the
network's clip is centred in silence (repeated where its config says so); longer files are cut into windows, and their
probabilities are the mean over them.
With --online or --method=source they may last for days. Ctrl-C writes what there is; the same command then goes on.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.classify import ClassifyRun

flags.flags_of(ClassifyRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.classify import classify

    return classify(flags.from_flags(ClassifyRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)

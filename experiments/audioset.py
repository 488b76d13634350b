"""Makes a manifest of home sounds from AudioSet's strong labels, and the list of what has to be fetched for it.

Example: python -m experiments.audioset --strong=audioset_train_strong.tsv --names=mid_to_display_name.tsv \\
             --mapping=tomofun --overlap=drop --output=manifest.csv --fetch_list=fetch.csv
Nothing is downloaded: a tool of yours cuts each row of the fetch list (start to end, in s of the video) into its file,
below the manifest's folder. Ids that begin with "-" or "_" stand there as they are, so give a tool's options an end
(--) before them. Then: python -m experiments.check_data --dataset=tomofun --data_dir=FOLDER --allow_partial
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.audioset import AudiosetRun

flags.flags_of(AudiosetRun)


def main() -> str:
    outputs.check("output", "fetch_list", file=True)
    from dhauds_jax.runs.audioset import make_lists

    return make_lists(flags.from_flags(AudiosetRun))


if __name__ == "__main__":
    app.run(main)

"""Classifies embedded sets without training: prototypes x backgrounds x scorers x weights, a record a row.

Example: python -m experiments.zeroshot --checkpoint=out/clap --embeddings=out/emb/us8k,out/emb/us8k_park \
--background_embeddings=out/emb/tau --prototypes=text,supervised --background=none,text,audio \
--scorer=plain,subtract,centre,em --weight=0.5,auto --workdir=out/zs
Or of any network, which embeds on the way: python -m experiments.zeroshot --checkpoint=words15 \
--dataset=arabic_speech_commands --data_dir=D --corruption=clean,ENSC --noise_dir=N --prototypes=head,supervised \
--background=audio --scorer=plain,subtract,centre --workdir=out/zs_speech
Every row says its accuracy with the given weight, with one chosen without labels and with the best by labels, and what
it was allowed to see. Writes WORKDIR/zeroshot.jsonl (finished rows are not run again); experiments.report reads it.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun

flags.flags_of(ZeroshotRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.zeroshot import zeroshot

    return zeroshot(flags.from_flags(ZeroshotRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.THE_REST)

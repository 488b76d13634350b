"""Every command with the smallest work that it has, on what `made` writes once: words for `python -m MODULE`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import soundfile

MADE = "made"


class Command(NamedTuple):
    """A command line.

    Attributes:
      module: what `python -m` runs.
      words: of its line; `{made}` is the folder of `made`, `{out}` that of what it writes, `{N}` seeds.
      main: whether it is one of those that issue 18 asks 100 moments of, not 20.
      free: names of files in {out} whose bytes may differ between two runs.
      goes_on: temporary names of what the same command goes on with.
    """

    module: str
    words: str
    main: bool = False
    free: tuple[str, ...] = ()
    goes_on: tuple[str, ...] = ()

    def line(self, made: Path, out: Path) -> list[str]:
        """The words."""
        return self.words.format(made=made, out=out).split()


_SET = "--dataset=arabic_speech_commands --data_dir={made}/data"
_NOISY = f"{_SET} --noise_dir={{made}}/noise"
_CHECKPOINT = "--checkpoint={made}/checkpoint"
_SCENES = "--seconds=1 --event_seconds=0.5 --onset=uniform:0,0.6 --sample_rate=8000 --n=1 --parts"
_TONES = "--dataset=tests.runs.homes:SET --net=tests.runs.tiny:smallest_net --folds=3 --epochs=1 --batch_size=16"

COMMANDS = {
    "train": Command(
        "experiments.train",
        f"{_NOISY} --net=tests.runs.tiny:smallest_net --epochs=3 --batch_size=12 --views=shift --save_every_s=0 "
        "--workdir={out}",
        main=True,
    ),
    "adapt": Command(
        "experiments.adapt",
        f"{_NOISY} {_CHECKPOINT} --method=source,tent --corruption=WHN --protocol=offline,online --epochs=2 "
        "--batch_size=6 --source_clips=15 --save_every_s=0 --workdir={out}",
        main=True,
    ),
    "sweep": Command(
        "experiments.sweep",
        "--recipes={made}/recipes.csv --data_root={made}/root --noise_dir={made}/noise "
        "--checkpoint_root={made}/checkpoints --save_every_s=0 --workdir={out}",
        main=True,
    ),
    "corrupt": Command(
        "experiments.corrupt",
        f"{_NOISY} --corruption=WHN,ENSC --level=L1,L2 --output={{out}}",
        main=True,
        goes_on=("L1.tmp", "L2.tmp"),  # cells
    ),
    "classify": Command(
        "experiments.classify",
        f"{_CHECKPOINT} --audio_dir={{made}}/sounds --method=tent --epochs=2 --batch_size=4 --save_every_s=0 "
        "--output={out}",
    ),
    "embed": Command(
        "experiments.embed",
        f"{_CHECKPOINT} --audio_dir={{made}}/sounds --batch_size=4 --export=npz --save_every_s=0 --output={{out}}",
    ),
    "evaluate": Command("experiments.evaluate", f"{_NOISY} {_CHECKPOINT} --corruption=clean,WHN --output={{out}}"),
    "study": Command(
        "experiments.study",
        f"{_NOISY} {_CHECKPOINT} --method=tent --corruption=WHN --protocol=online --lr=1e-3,1e-2 --seeds=0 --copies=1 "
        "--epochs=1 --batch_size=8 --source_clips=10 --workdir={out}",
    ),
    "tune": Command(
        "experiments.tune",
        f"{_SET} {_CHECKPOINT} --method=t3a --corruption=WHN --clips=8 --epochs=1 --batch_size=4 --seed=0 "
        "--workdir={out}/work --output={out}/tuned.csv",
    ),
    "elect": Command(
        "experiments.elect",
        f"{_NOISY} {_CHECKPOINT},{{made}}/checkpoint --corruption=clean,WHN --batch_size=8 --workdir={{out}}",
    ),
    "crossval": Command("experiments.crossval", f"{_TONES} --views=shift:1 --save_every_s=0 --workdir={{out}}"),
    "pretrain": Command(
        "experiments.pretrain",
        f"{_SET} --net=ssast_test --epochs=2 --batch_size=15 --mask_patches=5 --save_every_s=0 --workdir={{out}}",
    ),
    "leaderboard": Command(
        "experiments.leaderboard",
        f"--data_dir={{made}}/data --noise_dir={{made}}/noise {_CHECKPOINT} --method=source,norm --protocol=online "
        "--corruption=WHN --epochs=1 --batch_size=8 --seed=0 --workdir={out}",
    ),
    "incremental": Command(
        "experiments.incremental",
        "--embeddings={made}/points.npz --way=2 --shot=3 --sessions=3 --seeds=0,1 --workdir={out}",
    ),
    "zeroshot": Command(
        "experiments.zeroshot",
        "--embeddings={made}/zeroshot/park.npz --background_embeddings={made}/zeroshot/places.npz "
        "--prototypes=supervised --scorer=plain,subtract --background=audio --workdir={out}",
    ),
    "learn": Command(
        "experiments.learn", f"{_CHECKPOINT} --audio_dir={{made}}/classes --learner=prototype --output={{out}}"
    ),
    "soundscapes": Command(
        "experiments.soundscapes",
        f"--foreground_dir={{made}}/scenes/events --background_dir={{made}}/scenes/backgrounds {_SCENES} "
        "--output={out}",
    ),
    "report": Command(
        "experiments.report", "--workdir={made}/records --format=csv,latex --html --output={out}", free=("report.html",)
    ),
    "export": Command("experiments.export", f"{_CHECKPOINT} --output={{out}}"),
    "audioset": Command(
        "experiments.audioset",
        "--strong={made}/strong.tsv --names={made}/names.tsv --output={out}/manifest.csv --fetch_list={out}/fetch.csv",
    ),
    "check_data": Command("experiments.check_data", f"{_SET} --allow_partial --prepare={{out}}"),
    "benchmark": Command(
        "experiments.benchmark",
        "--what=forward --net=amaut_tiny --batch=2 --seconds=0.2 --rounds=1 --classes=3",
    ),
    "convert": Command(
        "converters.convert", "--family=amaut --reverse --source={made}/amaut --output={out}"
    ),
    "quickstart": Command(
        "experiments.quickstart",
        "--corruption=clean,WHN --method=norm --epochs=1 --train_epochs=1 --workdir={out}",
        free=("cost-1.png", "report.md"),  # which show milliseconds
    ),
}  # fmt: skip


def made(folder: Path) -> Path:
    """Writes what the commands read, unless it is there: one file says that all of it is."""
    if (folder / "all").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from tests.data.soundscapes import small
    from tests.runs import learn_sounds, tiny, zeroshot_sets
    from tests.runs.test_incremental import blobs

    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    tiny.make_arabic(folder / "root" / "arabic_speech_commands")
    tiny.make_checkpoint(folder / "checkpoints" / "amaut_tiny_arabic_speech_commands")
    tiny.make_checkpoint(folder / "amaut", of=tiny.residual)
    (folder / "sounds" / "more").mkdir(parents=True)
    for take in range(7):
        place = folder / "sounds" / ("more/" * (take % 2) + f"{take}.wav")
        soundfile.write(place, tiny.tone(take, take, 4000 + 9000 * (take % 3)), tiny.RATE, subtype="PCM_16")
    blobs(folder / "points.npz")
    zeroshot_sets.write(folder / "zeroshot")
    learn_sounds.sounds(folder / "classes", ["low", "mid", "high"], range(4))
    small.make(folder / "scenes")
    _tables(folder)
    (folder / "all").write_text("")
    return folder


_HEADER = (
    "source,dataset,net,corruption,level,method,epochs,batch_size,seed,protocol,published_non_adapted,published_adapted"
)


def _tables(folder: Path) -> None:
    """Recipes, AudioSet's lists, records."""
    row = "here,arabic_speech_commands,amaut_tiny,{},{},{},2,6,3,{},,"
    rows = [row.format(*one.split()) for one in ("WHN L1 source online", "WHN L2 tent offline", "ENSC L2 norm online")]
    (folder / "recipes.csv").write_text("\n".join(["# mine", _HEADER, *rows]) + "\n")
    from dhauds_jax.data import audioset
    from dhauds_jax.workdir import records
    from tests.runs.test_audioset import ROWS

    (folder / "strong.tsv").write_text(ROWS)
    names = [f"{mid}\tname of {mid}\n" for mid in [*audioset.MAPPINGS["tomofun"], "/m/09x0r"]]
    (folder / "names.tsv").write_text("".join(names))
    committed = Path(__file__).resolve().parents[2] / "docs" / "records" / "arabic_amaut_small" / "results.jsonl"
    (folder / "records").mkdir()
    (folder / "records" / records.FILE).write_text("".join(committed.read_text().splitlines(keepends=True)[:8]))

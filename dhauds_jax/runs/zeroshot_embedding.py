"""Sets that a zero-shot grid embeds on the way, into WORKDIR/embeddings, where the next command finds them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dhauds_jax import digests
from dhauds_jax.cells import targets
from dhauds_jax.cells.request import title
from dhauds_jax.data import content, sets
from dhauds_jax.data.corruptions import public
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.errors import BadInput
from dhauds_jax.files import check_no_links
from dhauds_jax.model import encoding
from dhauds_jax.names import CLEAN
from dhauds_jax.runs import embed_encoders, zeroshot_backgrounds, zeroshot_chunks, zeroshot_sets, zeroshot_towers
from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.embed_encoders import Encoding as Made
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot_rows import OF_CLIPS
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.workdir import vectors
from dhauds_jax.workdir.vectors import Vectors
from dhauds_jax.zeroshot import scorers

FOLDER = "embeddings"


def embedded(run: ZeroshotRun) -> tuple[list[LabelledSet], tuple[Vectors, ...]]:
    """The sets of `--dataset` under every corruption, and embedded recordings of backgrounds.

    Prototypes of clips are made of the clean training clips, which are embedded too, or (`--train=same`) of corrupted
    ones.

    Raises:
      BadInput: what `experiments.embed` refuses.
    """
    if run.checkpoint is None:
        raise BadInput("--dataset: needs what embeds it, expected --checkpoint=FOLDER, or --embeddings in its place")
    check_no_links(run.workdir, FOLDER)
    pairs = targets.expand(run.corruption, run.level)
    if not pairs:
        raise BadInput(f"--corruption: names none, expected {CLEAN} or corruptions")
    training = any(kind in OF_CLIPS for kind in run.prototypes) or run.scale == "nll"
    training = training or any("treff" in scorers.members(name) for name in run.scorer)
    corrupted = [pair for pair in pairs if pair != (CLEAN, "-")]
    check_before(run, bool(corrupted))
    same = training and ("same" in run.train if run.train is not None else run.profile == "reference")
    clean = training and ("clean" in run.train if run.train is not None else run.profile == "corrected")
    both = (run.train_split, run.split)
    rule = "first" if corrupted else "windows"  # a corruption acts on the head of a long clip
    places: list[Path] = []
    if clean or len(corrupted) < len(pairs):
        if len(corrupted) == len(pairs):
            print("note: the clean set is embedded and classified too, since prototypes are made of its training clips")
        places.append(_embed(run, both if training else (run.split,), rule, (), [CLEAN]))
    if corrupted:
        names = [name for name in run.corruption if name != CLEAN]
        titles = [title(public(code), level).replace(":", ".") for code, level in corrupted]
        place = _embed(run, both if same else (run.split,), rule, titles, names)
        places += [place / one for one in titles]
    found = vectors.read_all(places)
    made = zeroshot_sets.of_vectors(found, [run.dataset] * len(found), run.folds, run.split, run.train_split, run.seed)
    return made, _backgrounds(run, corrupted)


def check_before(run: ZeroshotRun, corrupted: bool) -> None:
    """Raises `BadInput` for what no embedding would mend, before the first clip is embedded.

    Args:
      run: the flags.
      corrupted: whether a corruption is mixed in, whose noises are recordings of a background.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    if not (run.background_embeddings or corrupted):
        zeroshot_backgrounds.check(run, (), None)
    given = [text for text in map(str.strip, run.background_text) if text != zeroshot_backgrounds.NONE_NAMED]
    recorded = run.background_embeddings or {"audio", "oracle"} & set(run.background)
    if "text" in run.background and not given and not recorded:
        raise BadInput(
            f"--background=text: nothing says what --dataset={run.dataset} was recorded over, expected "
            "--background_text=park"
        )
    if zeroshot_chunks.KIND in run.background and dataset.chunks is None:
        raise BadInput(
            f"--background={zeroshot_chunks.KIND}: --dataset={run.dataset} says of no recording which chunks have no "
            "event, expected tut_sed, or another background"
        )
    scenes = given if "text" in run.background else []
    needs = zeroshot_towers.needs_of(run, scenes)
    zeroshot_towers.check(run, {**needs, "text": needs["text"] or "text" in run.background})
    zeroshot_towers.check_classes(
        run, dataset.classes if dataset.chunks is None else dataset.chunks.classes, scenes, needs
    )


def _embed(
    run: ZeroshotRun, splits: Sequence[str], rule: str, titles: Sequence[str], corruption: Sequence[str]
) -> Path:
    """Embeds what is not embedded yet, each corruption and level in a folder of the returned one (clean ones in it).

    The folder's name has what its clips follow from, and no other corruption or level: one more embeds that one alone.
    """
    given = (run.dataset, run.data_dir, run.checkpoint, splits, run.precision, rule, run.allow_partial, run.on_bad_file)
    given = (*given, *((run.noise_dir, run.profile, run.seed) if titles else ()))
    name = f"{run.dataset}-{'corrupted' if titles else 'clean'}-{digests.of_texts(*given)[:8]}"
    folder = Path(run.workdir) / FOLDER / name.replace("/", ".").replace(":", ".")
    asked = EmbedRun(
        checkpoint=run.checkpoint,
        dataset=run.dataset,
        data_dir=run.data_dir,
        split=tuple(dict.fromkeys(splits)),
        noise_dir=run.noise_dir,
        corruption=tuple(corruption),
        level=run.level,
        profile=run.profile,
        seed=run.seed,
        output=str(folder / titles[0] if len(titles) == 1 else folder),
        long=rule,
        batch_size=run.batch_size,
        allow_partial=run.allow_partial,
        on_bad_file=run.on_bad_file,
        precision=run.precision,
    )
    print(embed(asked, "experiments.zeroshot"))
    return folder


def _backgrounds(run: ZeroshotRun, corrupted: Sequence[tuple[str, str]]) -> tuple[Vectors, ...]:
    """Embedded recordings of backgrounds: those that are given, else the noises that were mixed in."""
    if run.background_embeddings:
        return vectors.read_all(run.background_embeddings)
    if not {"audio", "oracle"} & set(run.background):
        return ()
    asked = EmbedRun(
        checkpoint=run.checkpoint, output="", batch_size=run.batch_size, precision=run.precision, seed=run.seed
    )
    made, dataset = embed_encoders.encoding_of(asked), sets.get(run.dataset, run.data_dir)
    found: dict[str, Vectors] = {}
    for code, level in corrupted:
        bank = targets.bank_for(dataset, run.noise_dir, code, level, made.encoder.sample_rate)
        if bank is not None:
            digest = content.of_bank(bank)
            found.setdefault(digest, _of_bank(run, made, bank, public(code), digest))
    return tuple(found.values())


def _of_bank(run: ZeroshotRun, made: Made, bank: NoiseBank, scene: str, digest: str) -> Vectors:
    """The noises of a corruption, each the mean over its windows; kept as an `.npz`."""
    known = digests.of_texts(made.about, made.long, digest)
    path = Path(run.workdir) / FOLDER / f"background-{known[:8]}.npz"
    if not path.is_file():
        work = encoding.Encoding(made.encoder, run.batch_size)
        for k, (name, wave) in enumerate(zip(bank.names, bank.waves, strict=True)):
            blocks = [np.asarray(wave, np.float32)]
            rows = made.encoder.rows(name, lambda blocks=blocks: iter(blocks))
            work.take(encoding.Recording(k, rows, lambda: None))
        work.flush()
        rows = {one.position: one.vector for one in work.finished()}
        means = np.stack([rows[k] for k in range(len(bank.names))])
        kept = Vectors(str(path), tuple(bank.names), means, groups=_scenes(bank.names, scene))
        path.parent.mkdir(parents=True, exist_ok=True)
        vectors.export_npz(kept, path)
    return vectors.read(path)


def _scenes(names: Sequence[str], corruption: str) -> tuple[str, ...]:
    """The class of each recording, where every class has another one that a clip's own can be left out for."""
    classes = [name.partition("/")[0] for name in names]
    alone = min(Counter(classes).values()) < 2
    return (corruption,) * len(names) if alone else tuple(classes)

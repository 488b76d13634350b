"""NSynth-100: a hundred instruments of NSynth as classes, 55 base ones with more notes and 45 later ones.

`/published` reads the published tables, which were drawn without a seed; the plain set's are drawn by a hash of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dhauds_jax.data.sets.base import DataSet, Order, check_split
from dhauds_jax.data.sets.clip_tables import Tables, listing

_CLASSES = """
guitar_electronic_017 keyboard_acoustic_017 keyboard_electronic_058 guitar_electronic_043 mallet_acoustic_054
bass_synthetic_087 bass_synthetic_067 bass_synthetic_113 keyboard_electronic_070 keyboard_electronic_000
bass_synthetic_090 vocal_synthetic_012 mallet_electronic_003 bass_synthetic_060 keyboard_electronic_034
bass_synthetic_103 bass_synthetic_102 organ_electronic_067 bass_synthetic_061 keyboard_electronic_018
keyboard_electronic_023 keyboard_electronic_038 vocal_synthetic_014 guitar_synthetic_003 bass_synthetic_002
guitar_electronic_037 guitar_synthetic_007 bass_synthetic_111 guitar_synthetic_010 mallet_acoustic_050
keyboard_acoustic_006 guitar_acoustic_026 bass_synthetic_046 guitar_electronic_023 keyboard_electronic_055
organ_electronic_053 bass_synthetic_106 guitar_electronic_039 mallet_electronic_004 bass_synthetic_024
guitar_electronic_036 bass_synthetic_137 guitar_acoustic_007 guitar_electronic_021 mallet_acoustic_020
bass_synthetic_107 mallet_acoustic_027 guitar_acoustic_019 keyboard_electronic_090 guitar_electronic_018
reed_acoustic_014 keyboard_synthetic_009 bass_synthetic_120 bass_synthetic_139 mallet_acoustic_046
keyboard_acoustic_004 bass_synthetic_033 bass_synthetic_009 keyboard_electronic_003 bass_synthetic_034
bass_synthetic_098 mallet_acoustic_062 organ_electronic_113 keyboard_electronic_098 organ_electronic_028
keyboard_electronic_001 bass_synthetic_134 organ_electronic_001 guitar_acoustic_015 string_acoustic_057
keyboard_synthetic_000 organ_electronic_007 bass_synthetic_068 reed_acoustic_037 guitar_acoustic_010
reed_acoustic_023 guitar_electronic_022 organ_electronic_057 brass_acoustic_006 reed_acoustic_011
guitar_acoustic_030 guitar_electronic_028 keyboard_electronic_002 bass_electronic_025 vocal_synthetic_003
flute_synthetic_000 bass_electronic_027 organ_electronic_104 bass_synthetic_135 keyboard_electronic_078
brass_acoustic_046 keyboard_electronic_069 guitar_acoustic_021 string_acoustic_014 mallet_acoustic_047
mallet_acoustic_056 bass_electronic_018 guitar_acoustic_014 string_acoustic_056 flute_acoustic_002"""
CLASSES = tuple(_CLASSES.split())
"""In the order of the published labels: sessions take them in this order."""
BASE = 55
"""The first classes, of which there are more notes and a validation split."""
SIZES = {"train": (200, 100), "val": (100, 0), "test": (100, 100)}
"""Notes of each base class and of each later one."""
DRAWN = {split: f"nsynth_100_{split}.csv" for split in SIZES}
PUBLISHED = {split: f"nsynth-100-fs_{split}.csv" for split in SIZES}
COLUMNS = ("filename", "instrument", "audio_source")


def clip_of(row: Mapping[str, str]) -> tuple[str, str]:
    """The id and the instrument of a row of a table."""
    return f"{row['audio_source']}/audio/{row['filename']}.wav", row["instrument"]


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Draws the tables in `data_dir` from NSynth's folders, see `data.built.nsynth_100`."""
    from dhauds_jax.data.built import nsynth_100

    return nsynth_100.build(raw_dir, data_dir)


def _per_class(split: str) -> dict[str, int]:
    base, later = SIZES[split]
    return {name: base if label < BASE else later for label, name in enumerate(CLASSES)}


def _data_set(variant: str, files: Mapping[str, str], built: bool) -> DataSet:
    name = f"nsynth_100{variant}"
    inside = ("nsynth-100-fs-meta", "Nsynth_audio_for_FCAC", "nsynth")
    tables = Tables(name, inside, files, COLUMNS, clip_of, CLASSES, built)

    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(tables, data_dir, split, allow_partial)

    counts = {split: _per_class(split) for split in SIZES}
    made = DataSet(
        name=name,
        classes=CLASSES,
        sample_rate=16_000,
        length=64_000,
        splits=tuple(SIZES),
        metric="accuracy",
        order=Order(),
        licence="CC BY 4.0 (NSynth)",
        citation="J. Engel and others, Neural audio synthesis of musical notes with WaveNet autoencoders, ICML 2017; "
        "instruments chosen by W. Xie, Y. Li, Q. He, Few-shot class-incremental audio classification using adaptively-"
        "refined prototypes, 2023",
        listing=checked,
        homepage="https://magenta.tensorflow.org/datasets/nsynth",
        layout=f"""nsynth-{{train,valid,test}}/audio/<instrument>-<pitch>-<velocity>.wav
{files["train"]}  {files["val"]}  {files["test"]}      columns: {", ".join(COLUMNS)}""",
        counts={split: sum(per_class.values()) for split, per_class in counts.items()},
        class_counts=counts,
        seconds=(4.0, 4.0),
        build=build if built else None,
    )
    return made


DATA_SETS = (_data_set("", DRAWN, True), _data_set("/published", PUBLISHED, False))

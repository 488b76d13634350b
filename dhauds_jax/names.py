"""The public names, each with the place of what it stands for: the one line that an addition writes.

Nothing is imported here, so `--help` can list the names at once; `dhauds_jax.registry` resolves the places when a name
is used. A place is "module:attribute".
"""

from __future__ import annotations

from collections.abc import Mapping

_METHODS = "dhauds_jax.tta.methods"
METHODS: Mapping[str, str] = {
    "source": f"{_METHODS}.source:source",
    "norm": f"{_METHODS}.norm:norm",
    "tent": f"{_METHODS}.tent:tent",
    "dhauds": f"{_METHODS}.dhauds:dhauds",
    "eata": f"{_METHODS}.eata:eata",
    "rdumb": f"{_METHODS}.rdumb:rdumb",
    "sar": f"{_METHODS}.sar:sar",
    "deyo": f"{_METHODS}.deyo:deyo",
    "roid": f"{_METHODS}.roid:roid",
    "gala": f"{_METHODS}.gala:gala",
    "pseudo_label": f"{_METHODS}.pseudo_label:pseudo_label",
    "shot": f"{_METHODS}.shot:shot",
    "notela": f"{_METHODS}.notela:notela",
    "lame": f"{_METHODS}.lame:lame",
    "t3a": f"{_METHODS}.t3a:t3a",
    "ntta": f"{_METHODS}.ntta:ntta",
    "note": f"{_METHODS}.note:note",
    "rotta": f"{_METHODS}.rotta:rotta",
    "cotta": f"{_METHODS}.cotta:cotta",
    "memo": f"{_METHODS}.memo:memo",
    "suta": f"{_METHODS}.suta:suta",
    "ttt": f"{_METHODS}.ttt:ttt",
    "conmix": f"{_METHODS}.conmix:conmix",
    "rpl": f"{_METHODS}.rpl:rpl",
    "rmt": f"{_METHODS}.rmt:rmt",
    "cmf": f"{_METHODS}.cmf:cmf",
    "santa": f"{_METHODS}.santa:santa",
    "adacontrast": f"{_METHODS}.adacontrast:adacontrast",
    "gtta": f"{_METHODS}.gtta:gtta",
    "ttaug": f"{_METHODS}.ttaug:ttaug",
    "come": f"{_METHODS}.come:come",
    "dsuta": f"{_METHODS}.dsuta:dsuta",
    "sgem": f"{_METHODS}.sgem:sgem",
    "foa": f"{_METHODS}.foa:foa",
    "auto": f"{_METHODS}.auto:auto",
}
"""Adaptation methods: factories `(classifier, *, options...) -> Method` (docs/methods.md)."""

_CORRUPTIONS = "dhauds_jax.data.corruptions"
CORRUPTIONS: Mapping[str, str] = {
    "WHN": f"{_CORRUPTIONS}.white_noise:WHITE_NOISE",
    "ENQ": f"{_CORRUPTIONS}.recorded:ENQ",
    "END1": f"{_CORRUPTIONS}.recorded:END1",
    "END2": f"{_CORRUPTIONS}.recorded:END2",
    "ENSC": f"{_CORRUPTIONS}.recorded:ENSC",
    "PSH": f"{_CORRUPTIONS}.pitch:PITCH_SHIFT",
    "TST": f"{_CORRUPTIONS}.stretch:TIME_STRETCH",
}
"""The seven corruptions, drawn from grids at the levels of `LEVELS`: `Corruption` records (docs/data.md)."""

SHIFTS: Mapping[str, str] = {
    "SCN": f"{_CORRUPTIONS}.recorded:SCN",
    "CLP": f"{_CORRUPTIONS}.recorded:CLP",
    "UNI": f"{_CORRUPTIONS}.uniform:UNIFORM",
}
"""Corruptions whose level is a parameter, written CODE:LEVEL."""

TRANSMISSIONS: Mapping[str, str] = {
    "CLI": f"{_CORRUPTIONS}.clipping:CLIPPING",
    "TEL": f"{_CORRUPTIONS}.telephone:TELEPHONE",
    "MIC": f"{_CORRUPTIONS}.microphone:MICROPHONE",
    "PLO": f"{_CORRUPTIONS}.packet_loss:PACKET_LOSS",
    "RIR": f"{_CORRUPTIONS}.rooms:ROOM",
    "CDC": f"{_CORRUPTIONS}.codec:CODEC",
}
"""Corruptions by the way from a source to a recording, ours and in no published table: at the levels of `LEVELS`, which
are points on an axis of severity (S0 to S1), and in mixtures, CODE+CODE. `all` does not hold them."""

OWN_NOISES: Mapping[str, str] = {
    "ENU": f"{_CORRUPTIONS}.own_noises:own_noises",
    "RIR": f"{_CORRUPTIONS}.own_rooms:own_rooms",
}
"""Corruptions by recordings of the user's own, noises or responses of rooms, written CODE:PLACE (a folder or a list),
at the levels of `LEVELS`."""

LEVELS = ("L1", "L2")
"""Levels of the seven corruptions and of noises of one's own."""

CLEAN = "clean"
"""The corruption's name for uncorrupted clips; its level is "-"."""

_SETS = "dhauds_jax.data.sets"
DATA_SETS: Mapping[str, str] = {
    "arabic_speech_commands": f"{_SETS}.arabic_speech_commands:DATA_SETS",
    "synthetic": f"{_SETS}.synthetic:DATA_SETS",
    "vocal_sound": f"{_SETS}.vocal_sound:DATA_SETS",
    "cochl_scene": f"{_SETS}.cochl_scene:DATA_SETS",
    "urban_sound_8k": f"{_SETS}.urban_sound_8k:DATA_SETS",
    "reef_set": f"{_SETS}.reef_set:DATA_SETS",
    "audio_mnist": f"{_SETS}.audio_mnist:DATA_SETS",
    "speech_commands_v1": f"{_SETS}.speech_commands:DATA_SETS",
    "speech_commands_v2": f"{_SETS}.speech_commands:DATA_SETS",
    "free_spoken_digit": f"{_SETS}.free_spoken_digit:DATA_SETS",
    "folder": f"{_SETS}.folder_per_class:DATA_SETS",
    "qut_noise": f"{_SETS}.qut_noise:DATA_SETS",
    "demand": f"{_SETS}.demand:DATA_SETS",
    "speech_commands_noise": f"{_SETS}.speech_commands_noise:DATA_SETS",
    "esc50": f"{_SETS}.esc50:DATA_SETS",
    "tau_urban_2019": f"{_SETS}.tau_urban_2019:DATA_SETS",
    "tut_sed": f"{_SETS}.tut_sed:DATA_SETS",
    "home_sounds": f"{_SETS}.home_sounds:DATA_SETS",
    "tomofun": f"{_SETS}.tomofun:DATA_SETS",
    "soundfont_notes": f"{_SETS}.soundfont_notes:DATA_SETS",
    "librispeech_100": f"{_SETS}.librispeech_100:DATA_SETS",
    "nsynth_100": f"{_SETS}.nsynth_100:DATA_SETS",
    "fsc_89": f"{_SETS}.fsc_89:DATA_SETS",
}
"""Data sets: tuples of `DataSet`, the set itself and its variants, which are called "set/variant" (docs/data.md)."""

_PROTOCOLS = "dhauds_jax.tta.schedules"
PROTOCOLS: Mapping[str, str] = {
    "offline": f"{_PROTOCOLS}.offline:OFFLINE",
    "online": f"{_PROTOCOLS}.one_pass:ONLINE",
    "episodic": f"{_PROTOCOLS}.one_pass:EPISODIC",
    "continual": f"{_PROTOCOLS}.domains:CONTINUAL",
    "gradual": f"{_PROTOCOLS}.domains:GRADUAL",
    "mixed": f"{_PROTOCOLS}.domains:MIXED",
    "correlated": f"{_PROTOCOLS}.labels:CORRELATED",
    "batch1": f"{_PROTOCOLS}.one_pass:BATCH1",
    "label_shift": f"{_PROTOCOLS}.labels:LABEL_SHIFT",
    "timed": f"{_PROTOCOLS}.one_pass:TIMED",
    "forgetting": f"{_PROTOCOLS}.domains:FORGETTING",
}
"""Protocols: `Protocol` records, when a method predicts, adapts and starts anew (docs/methods.md)."""

CRITERIA: Mapping[str, str] = {
    "information": "dhauds_jax.tta.selection:information",
    "negative_entropy": "dhauds_jax.tta.selection:negative_entropy",
    "nuclear_norm": "dhauds_jax.tta.selection:nuclear_norm_share",
    "neighbourhood_density": "dhauds_jax.tta.selection:neighbourhood_density",
}
"""Label-free criteria of an epoch: functions of logits."""

CRITERIA_WITH_VIEWS: Mapping[str, str] = {"agreement": "dhauds_jax.tta.selection:agreement"}
"""Criteria that look at a second view's logits too."""

_NETS = "dhauds_jax.nets"
FAMILIES: Mapping[str, str] = {
    "amaut": f"{_NETS}.amaut_zoo:FAMILY",
    "conmix": f"{_NETS}.conmix_zoo:FAMILY",
    "hubert": f"{_NETS}.hubert_zoo:FAMILY",
    "resnet": f"{_NETS}.resnet_zoo:RESNET",
    "cnn": f"{_NETS}.resnet_zoo:CNN",
    "spectrogram_transformer": f"{_NETS}.spectrogram_zoo:FAMILY",
    "clap": f"{_NETS}.clap_classifier:FAMILY",
    "vggish": f"{_NETS}.vggish_zoo:FAMILY",
}
"""Families of networks: `Family` records, each with its presets."""

HEADS: Mapping[str, str] = {
    "attention_pool": f"{_NETS}.attention_pool:AttentionPool",
    "audio_classifier": f"{_NETS}.heads:AudioClassifier",
    "band_statistics": f"{_NETS}.time_statistics:BandStatistics",
    "bottleneck": f"{_NETS}.heads:BottleneckClassifier",
    "fce": f"{_NETS}.heads:FCEClassifier",
    "hub_classifier": f"{_NETS}.heads:HuBClassifier",
    "joined": f"{_NETS}.dual_embedding:Joined",
    "levels": f"{_NETS}.levels:Levels",
    "linear": f"{_NETS}.heads:LinearHead",
    "projected_mean": f"{_NETS}.heads:ProjectedMean",
    "projected_tokens": f"{_NETS}.clap:ProjectedTokens",
    "prototypes": f"{_NETS}.prototypes:Prototypes",
    "random_projection": f"{_NETS}.random_projection:RandomProjection",
    "row_statistics": f"{_NETS}.time_statistics:RowStatistics",
    "token_pool": f"{_NETS}.heads:TokenPool",
}
"""Classification heads: linen modules over an encoder's tokens."""

FRONT_ENDS: Mapping[str, str] = {
    "clap_mel": f"{_NETS}.front_ends:CLAP_MEL",
    "kaldi_fbank": f"{_NETS}.front_ends:KALDI_FBANK",
    "log_mel": f"{_NETS}.front_ends:LOG_MEL",
    "mel_image": f"{_NETS}.front_ends:MEL_IMAGE",
    "vggish": f"{_NETS}.front_ends:VGGISH",
    "wave": f"{_NETS}.front_ends:WAVE",
}
"""Front ends: `FrontEnd` records, from a waveform to what an encoder takes."""

LAYOUTS = ("centre", "repeat_pad", "start")
"""What becomes of a clip shorter than the network's (`front_end.layout`, the first where there is none): it lies in the
centre of silence, is repeated as often as it fits, silence behind, or comes first, silence behind."""

RESAMPLERS = ("sinc", "soxr_hq", "kaiser_best")
"""How a recording gets the network's rate (`front_end.resampler`, the first where there is none)."""

CONVOLUTIONS = ("direct", "winograd")
"""How 3 by 3 convolutions are computed (`nets.vggish`)."""

PROFILES = ("reference", "corrected")
"""reference: the quirks of the PyTorch systems are on; corrected: they are off (docs/fidelity.md)."""

CHOSEN_BY = ("auc", "nll", "accuracy")
"""What epoch and temperature are chosen by: the weighted ROC area, the likelihood, or the share that is right."""

_SCORERS = "dhauds_jax.zeroshot.scorers"
SCORERS: Mapping[str, str] = {
    "plain": f"{_SCORERS}.plain:plain",
    "subtract": f"{_SCORERS}.subtract:subtract",
    "centre": f"{_SCORERS}.centre:centre",
    "whiten": f"{_SCORERS}.whiten:whiten",
    "drift": f"{_SCORERS}.drift:drift",
    "em": f"{_SCORERS}.em:em",
    "treff": f"{_SCORERS}.treff:treff",
    "tda": f"{_SCORERS}.tda:tda",
}
"""Training-free scorers of unit embeddings: factories `(*, options...) -> Scorer` (docs/zeroshot.md)."""

LONG_RULES = ("windows", "first", "random_crop", "fusion_fixed", "fusion_random")
"""How an audio-text model lays out recordings longer than its clip (docs/zeroshot.md)."""

_LEARNERS = "dhauds_jax.incremental.learners"
LEARNERS: Mapping[str, str] = {
    "prototype": f"{_LEARNERS}.prototype:prototype",
    "teen": f"{_LEARNERS}.teen:teen",
    "slda": f"{_LEARNERS}.slda:slda",
    "fecam": f"{_LEARNERS}.fecam:fecam",
    "ridge": f"{_LEARNERS}.ridge:ridge",
    "ranpac": f"{_LEARNERS}.ranpac:ranpac",
    "finetune": f"{_LEARNERS}.finetune:finetune",
    "replay": f"{_LEARNERS}.replay:replay",
    "joint": f"{_LEARNERS}.joint:joint",
    "mar": f"{_LEARNERS}.mar:mar",
    "ede": f"{_LEARNERS}.ede:ede",
}
"""Class-incremental learners: factories `(classifier, *, options...) -> Learner` (docs/incremental.md)."""

READS = ("embedding", "layers", "tokens", "wave")
"""What a learner may read of a network; all but the wave by `Classifier.tap`."""

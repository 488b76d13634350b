"""The frozen command lines: small, and together every method, protocol, corruption, profile and kind of net."""

from __future__ import annotations

from typing import NamedTuple

SPEECH = "--dataset=arabic_speech_commands --data_dir={work}/speech"
NOISE = "--noise_dir={work}/noise"
CORRUPTIONS = "WHN,ENQ,END1,END2,ENSC,PSH,TST"
SHIFTS = "SCN:running_tap@10dB,CLP:vocal_sound@3dB,UNI:0.005"
ONLINE = (
    "source,norm,tent,dhauds,eata,rdumb,sar,deyo,roid,gala,pseudo_label,notela,lame,t3a,ntta,note,rotta,cotta,memo,"
    "suta,ttt"
)
"""The methods but for those that begin an epoch with a pass over the set (shot, conmix)."""
PROTOCOLS = "offline,online,episodic,continual,gradual,mixed,correlated,batch1,label_shift,timed,forgetting"


class Command(NamedTuple):
    """A command line and what is kept of its output.

    Attributes:
      module: run with `-m`.
      arguments: separated by spaces; {work} is the folder of all, {here} the command's own.
      needs: commands whose output it reads.
      keeps: what is read of the output: "records", "checkpoint", "cells" (a -C set), "labels", "tuned", by name.
    """

    module: str
    arguments: str
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ("records",)


def _train(flags: str) -> Command:
    flags = f"{SPEECH} {NOISE} {flags} --batch_size=8 --workdir={{here}}"
    return Command("experiments.train", flags, keeps=("checkpoint",))


def _convert(family: str, files: str, net: str) -> Command:
    sources = ",".join(f"{{work}}/states/{name}.npz" for name in files.split(","))
    flags = f"--family={family} --source={sources} --config={{work}}/states/{net}.json --output={{here}}/checkpoint"
    return Command("converters.convert", flags, keeps=("checkpoint",))


def _adapt(source: str, flags: str) -> Command:
    flags = f"{SPEECH} {NOISE} --checkpoint={{work}}/{source}/checkpoint {flags} --batch_size=8 --workdir={{here}}"
    return Command("experiments.adapt", flags, (source,))


COMMANDS: dict[str, Command] = {
    "train_resnet": _train("--net=resnet_tiny --epochs=2 --aux_task=time_shift --views=clean --profile=corrected"),
    "train_amaut": _train("--net=amaut_tiny --epochs=1"),
    "pretrain_ssast": Command(
        "experiments.pretrain",
        f"{SPEECH} --net=ssast_test --epochs=1 --batch_size=8 --warmup_steps=0 --passes=1 --workdir={{here}}",
        keeps=("checkpoint",),
    ),
    "train_cnn": _train("--net=tta_in_ac_cnn_sc1 --epochs=1 --optimiser=adam --views=clean --lr=1e-3"),
    "convert_hubert": _convert("hubert", "hubert_huggingface", "hubert_tiny"),
    "convert_hubert_classifier": _convert("hubert_classifier", "hubert_encoder,hubert_head", "hubert_tiny"),
    "convert_amaut": _convert("amaut", "amaut_encoder,amaut_head", "amaut_tiny"),
    "convert_ssast": _convert("ssast", "ssast", "ssast_test"),
    "convert_ast": _convert("ast", "ast", "ssast_test"),
    "convert_conmix": _convert("conmix", "conmix_imagenet", "conmix_tiny"),
    "convert_conmix_classifier": _convert("conmix_classifier", "conmix_f,conmix_b,conmix_c", "conmix_tiny"),
    "methods": _adapt(
        "train_resnet",
        # The blend of the first revision; that of today is held by tests/tta/peers.
        f"--method={ONLINE} --options=memo.moments=biased --corruption=WHN --protocol=online",
    ),
    "methods_with_epochs": _adapt(
        "train_resnet", "--method=shot,conmix --corruption=WHN --epochs=1 --draw=single --profile=corrected"
    ),
    "protocols": _adapt(
        "train_resnet",
        f"--method=tent --corruption=WHN,ENSC --protocol={PROTOCOLS} --profile=corrected --seed=3 --epochs=2 "
        "--agreement",
    ),
    "corruptions": _adapt(
        "train_resnet",
        f"--method=source --corruption={CORRUPTIONS},{SHIFTS} --level=L1 --protocol=online --profile=corrected",
    ),
    "hubert": _adapt("convert_hubert_classifier", "--method=tent --corruption=clean --protocol=online"),
    "ssast": _adapt("convert_ssast", "--method=source --corruption=clean --protocol=online"),
    "conmix": _adapt("convert_conmix_classifier", "--method=source --corruption=clean --protocol=online"),
    "cnn": _adapt("train_cnn", "--method=norm --corruption=clean --protocol=online"),
    "study": Command(
        "experiments.study",
        f"{SPEECH} --checkpoint={{work}}/train_resnet/checkpoint --method=tent --corruption=WHN --lr=1e-4,1e-3 "
        "--seeds=0,1 --epochs=1 --batch_size=8 --workdir={here}",
        ("train_resnet",),
    ),
    "elect": Command(
        "experiments.elect",
        f"{SPEECH} --checkpoint={{work}}/train_resnet/checkpoint,{{work}}/convert_amaut/checkpoint "
        "--corruption=clean,WHN --batch_size=8 --workdir={here}",
        ("train_resnet", "convert_amaut"),
    ),
    "tune": Command(
        "experiments.tune",
        f"{SPEECH} --checkpoint={{work}}/train_resnet/checkpoint --method=norm --corruption=UNI:0.005 --clips=8 "
        "--epochs=1 --batch_size=8 --seed=0 --workdir={here} --output={here}/tuned.csv",
        ("train_resnet",),
        ("records", "tuned"),
    ),
    "classify": Command(
        "experiments.classify",
        "--checkpoint={work}/train_resnet/checkpoint --audio_dir={work}/recordings --epochs=2 --batch_size=4 "
        "--output={here}",
        ("train_resnet",),
        ("checkpoint", "labels"),
    ),
    "corrupt": Command(
        "experiments.corrupt",
        f"{SPEECH} {NOISE} --corruption={CORRUPTIONS},{SHIFTS} --level=L2 --output={{here}}",
        keeps=("cells",),
    ),
}
"""Name -> command; the nets are the smallest of each family."""

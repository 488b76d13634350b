"""A tiny set and runs of experiments.adapt on it, for the tests of what such runs do."""

from dhauds_jax.cells.request import AdaptRun
from tests.runs import tiny


def made(folder):
    """A set, noises and a checkpoint in a folder."""
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def a_run(place, workdir, **changes):
    run = AdaptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        net=None,
        checkpoint=str(place / "checkpoint"),
        method=["source", "norm"],
        corruption=["WHN"],
        level=["L2"],
        protocol=["offline", "online"],
        profile="reference",
        seed=1,
        epochs=3,
        batch_size=8,
        options=[],
        criterion="information",
        split="test",
        workdir=str(workdir),
        save_every_s=0.0,
        allow_partial=False,
        draw="single",
    )
    return run.replace(**changes)


def without_cost(record):
    return {k: v for k, v in record.items() if k not in ("seconds", "peak_memory_mb", "command")}

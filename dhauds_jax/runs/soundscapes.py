"""Writing and verifying soundscapes: the clips of one set over the recordings of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import registry
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.data.notices import Said, to_say
from dhauds_jax.data.soundscapes import draws, reverb, sources, writing
from dhauds_jax.data.soundscapes.scene import Scene, Settings
from dhauds_jax.data.soundscapes.sources import Sound, Sounds
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.names import PROFILES
from dhauds_jax.progress import Bar, progress_bar
from dhauds_jax.runs.requests.soundscapes import SoundscapesRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records

SHOWN = 20
"""Files that differ and are named, a scene."""
LONGEST = 3_600
"""Seconds of a soundscape at the most."""


class _Plan(NamedTuple):
    """All that there is to do: the events, and the backgrounds of each scene."""

    settings: Settings
    foreground: Sounds
    scenes: Mapping[str, tuple[Sound, ...]]


def run_command(run: SoundscapesRun) -> str:
    """Verifies or writes, as `run.verify` says."""
    return verify(run) if run.verify else write(run)


def settings_of(run: SoundscapesRun) -> Settings:
    """What the flags say of a soundscape.

    Raises:
      BadInput: a law, a number or a name that cannot be; sox is wanted and not there.
    """
    registry.check("profile", run.profile, PROFILES)
    check_on_bad_file(run.on_bad_file)
    check_number("--n", run.n, 1)
    check_number("--seconds", run.seconds, 0.0, LONGEST, above=True)
    check_number("--event_seconds", run.event_seconds, 0.0, above=True)
    check_number("--ref_db", run.ref_db, -70.0, 0.0)
    check_number("--sample_rate", run.sample_rate, 1_000, 384_000)
    if run.event_seconds > run.seconds:
        raise BadInput(
            f"--event_seconds={run.event_seconds:g}: longer than a soundscape (--seconds={run.seconds:g}), expected at "
            "most that; give a shorter one"
        )
    snr, onset = draws.law("snr", run.snr), draws.law("onset", run.onset)
    if not 0 <= onset.least < run.seconds:
        raise BadInput(
            f"--onset={run.onset}: begins at {onset.least:g} s, expected from 0 s to below --seconds={run.seconds:g}"
        )
    kind = run.reverb or ("sox0" if run.profile == "reference" else "none")
    registry.check("reverb", kind, reverb.KINDS)
    reverb.check(kind, f"--reverb={kind}" if run.reverb else f"--profile={run.profile}")
    return Settings(
        seed=run.seed,
        snr=snr,
        onset=onset,
        seconds=run.seconds,
        event_seconds=run.event_seconds,
        ref_db=run.ref_db,
        sample_rate=run.sample_rate,
        profile=run.profile,
        reverb=kind,
        fix_clipping=run.fix_clipping,
    )


def _plan(run: SoundscapesRun) -> _Plan:
    settings = settings_of(run)
    for flag in ("foreground_dir", "background_dir"):
        folder = getattr(run, flag)
        if folder and Path(run.output).resolve().is_relative_to(Path(folder).resolve()):
            raise BadInput(f"--output={run.output}: lies in --{flag}={folder}, expected it elsewhere")
    partial = {"allow_partial": run.allow_partial}
    foreground = sources.foregrounds(run.foreground, run.foreground_dir, tuple(run.split), **partial)
    background = sources.backgrounds(run.background, run.background_dir, **partial)
    scenes = defaultdict(list)
    for sound in background.all:
        scenes[sound.label].append(sound)
    for name in run.scene:
        if name not in scenes:
            raise BadInput(f"--scene={name}: no such scene, expected some of {', '.join(sorted(scenes))}")
    for line in dict.fromkeys((*to_say(foreground.notices), *to_say(background.notices))):
        print(line)
    wanted = tuple(dict.fromkeys(run.scene)) or tuple(sorted(scenes))
    return _Plan(settings, foreground, {name: tuple(scenes[name]) for name in wanted})


def _works(run: SoundscapesRun, plan: _Plan) -> list[writing.Work]:
    clips = plan.foreground.all
    return [
        writing.Work(
            Scene(name, plan.foreground.name, sounds, plan.settings),
            writing.tasks_of(clips, run.n, name),
            Path(run.output),
            run.parts,
            run.on_bad_file == "skip",
        )
        for name, sounds in plan.scenes.items()
    ]


def _identity(run: SoundscapesRun, plan: _Plan, work: writing.Work) -> dict:
    return writing.identity(work, plan.foreground.all, plan.scenes[work.scene.name], run.n)


@locks.holding("output")
def write(run: SoundscapesRun) -> str:
    """Writes every soundscape that is not there yet; returns the sentence that says where they are.

    Raises:
      BadInput: bad input, before anything is written; a clip that cannot be used, unless such are left out.
    """
    plan = _plan(run)
    works = _works(run, plan)
    for work in works:
        work.scene.check()
    for work in works:
        writing.begin(work, _identity(run, plan, work))
    each = counted(len(plan.foreground.all) * run.n, "soundscape")
    say(f"work: {counted(len(works), 'scene')} of {each} each")
    missing = {work.scene.name: sum(not work.is_there(task) for task in work.tasks) for work in works}
    made = 0
    with progress_bar(total=sum(missing.values()), desc="soundscapes", unit="soundscape", whole=True) as bar:
        for work in works:
            if missing[work.scene.name] or not (work.folder / writing.INDEX).is_file():
                made += _write(run, work, bar)
    there = sum(work.is_there(task) for work in works for task in work.tasks)
    wrote = f"{counted(made, 'soundscape')} written, {counted(there - made, 'was', 'were')} there already"
    return f"{wrote}: {run.output}"


def _write(run: SoundscapesRun, work: writing.Work, bar: Bar) -> int:
    """Writes a scene and its index; returns how many soundscapes were made."""
    files, made = Said(), 0
    bad: list[tuple[str, str]] = []
    for written in writing.write(work):
        files.add(written.task.clip.id, written.notices)
        bad += [(written.task.clip.id, written.bad.reason)] if written.bad else []
        made += written.bad is None
        bar.update(1)
    records.note_bad_files(Path(run.output), bad)
    count, said = writing.finish(work)
    if not count:
        raise BadInput(f"scene {work.scene.name}: no clip of {run.foreground} can be used, expected some")
    lines = (*files.sentences(len(work.tasks)), *said)
    for line in (*lines, *dict.fromkeys(f"left out: {name}: {reason}" for name, reason in bad)):
        print(f"note: {work.scene.name}: {line}")
    print(f"{work.scene.name}: {counted(count, 'soundscape')}, {work.folder / writing.INDEX}")
    return made


def verify(run: SoundscapesRun) -> str:
    """Makes every soundscape again and compares it with its files.

    Raises:
      BadInput: bad input, a scene that is absent or was made with other settings, or files that differ.
    """
    plan = _plan(run)
    works, wrong = _works(run, plan), 0
    for work in works:
        writing.check(work, _identity(run, plan, work))
    total = sum(len(work.tasks) for work in works)
    with progress_bar(total=total, desc="verify", unit="soundscape", whole=True) as bar:
        for work in works:
            found = []
            for sentences in writing.verify(work):
                found += sentences
                bar.update(1)
            found += writing.unlisted(work)
            wrong += len(found)
            for sentence in found[:SHOWN]:
                print(sentence)
            differ = counted(len(found), "file differs", "files differ")
            print(f"{work.scene.name}: {differ if found else 'all files agree'}")
    if wrong:
        differ = counted(wrong, "file differs", "files differ")
        raise BadInput(f"{run.output}: {differ}, expected none; remove them and their .jams to make them anew")
    there = sum(work.is_there(task) for work in works for task in work.tasks)
    return f"{counted(there, 'soundscape agrees', 'soundscapes agree')}: {run.output}"

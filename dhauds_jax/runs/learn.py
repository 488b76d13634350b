"""Learning new classes from a folder of a few clips each: a classifier of these, and how far it can be trusted."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dhauds_jax import calibration, digests, files, json_texts, schemas
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental import joining, rooms, stored
from dhauds_jax.incremental.rooms import Learned
from dhauds_jax.model.record import Model, load
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision as precisions
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.time_statistics import NETWORK, with_reading
from dhauds_jax.runs import learn_begun, learn_clips, learn_report
from dhauds_jax.runs.classify import model_of
from dhauds_jax.runs.learn_network import Network, classifier_of, without_head
from dhauds_jax.runs.requests.learn import LearnRun
from dhauds_jax.types import Variables
from dhauds_jax.wording import counted, of_markdown
from dhauds_jax.workdir import locks, provenance

CHECKPOINT, CLASSES, REPORT, RUN = "checkpoint", "classes.csv", "report.md", "run.json"
OWN = (CHECKPOINT, CLASSES, REPORT, RUN, locks.FILE)
SCHEMA = schemas.Schema(1)
"""The form of `RUN`."""
"""All that an output holds."""

Taught = tuple[Learned, Network, list[str], tuple[tuple[str, str], ...]]
"""The learner, its network, what was done in sentences, and the clips that were left out."""


@precisions.exactly()
@locks.holding("output")
def learn(run: LearnRun, command: str) -> str:
    """Learns, forgets or joins; returns the sentence that says where the results are.

    Raises:
      BadInput: bad input, in one sentence, before anything is written. FloatingPointError: what the network says of a
        clip is not finite.
    """
    _check(run)
    learned, network, facts, skipped = _removed(run) if run.remove else _merged(run) if run.merge else _taught(run)
    _check_output(run, _identity(run, learned, network))
    found = learn_report.forecast(learned, run.score)
    facts.append(
        f"the learner {learned.name} holds {learned.learner.bytes_held(learned.state):,} bytes of what it learnt; the "
        f"checkpoint also keeps what it read of each clip, {learned.rows.inputs.nbytes:,} bytes"
    )
    _write(run, learned, network, found, facts, skipped, command)
    print("\n".join((*(f"note: {fact}" for fact in facts), *_listed(skipped), learn_report.sentence(found))))
    print(learn_report.advice(found))
    print(learn_report.unknown(found, run.reject))
    return (
        f"{counted(len(learned.known), 'class', 'classes')} known: {Path(run.output) / CHECKPOINT} "
        f"(report: {Path(run.output) / REPORT})"
    )


def _listed(skipped: Sequence[tuple[str, str]]) -> list[str]:
    if not skipped:
        return []
    name, reason = skipped[0]
    return [f"note: {counted(len(skipped), 'clip')} not learnt, the first: {name}: {reason}"]


def _check(run: LearnRun) -> None:
    given = [name for name in ("audio_dir", "remove", "merge") if getattr(run, name)]
    if len(given) != 1:
        said = "none of them is" if not given else f"--{' and --'.join(given)} are"
        raise BadInput(f"--audio_dir, --remove, --merge: {said} given, expected one of them: what is to be done")
    check_number("--reject", run.reject, 0.0, 1.0, below=True)
    check_number("--min_clips", run.min_clips, 1)
    check_number("--base_clips", run.base_clips, 1)
    check_number("--max_classes", run.max_classes, 2)
    check_number("--memory", run.memory, 0)
    check_number("--batch_size", run.batch_size, 1)
    if (run.keep == "clips") != bool(run.base_dir):
        found = "is given" if run.base_dir else "is not given"
        raise BadInput(f"--base_dir: {found}, expected it with --keep=clips, and only there")
    if run.merge and (len(run.merge) != 2 or run.checkpoint or run.model):
        raise BadInput(
            f"--merge={','.join(run.merge)}: {counted(len(run.merge), 'checkpoint')}"
            f"{' and --checkpoint or --model' if run.checkpoint or run.model else ''}, expected two, and neither beside"
        )
    fresh = [name for name in ("learner", "head", "keep", "options") if getattr(run, name)]
    if fresh and not run.audio_dir:
        raise BadInput(f"--{fresh[0]}: is for a first session, expected it with --audio_dir alone")
    _check_output(run, {"settings": settings_of(run)})


def settings_of(run: LearnRun) -> str:
    """Names what results follow from beside what checkpoints and folders hold."""
    left_out = ("output", "overwrite", "batch_size")
    return digests.of_texts({name: value for name, value in run.as_dict().items() if name not in left_out})


def _identity(run: LearnRun, learned: Learned, network: Network) -> dict[str, str]:
    """Names what is written: flags, the network, and every clip that was learnt."""
    clips = digests.of_texts(*(clip.digest for clip in learned.clips))
    return {"settings": settings_of(run), "network": network.hash(learned.learner.reads), "clips": clips}


_ABOUT = "what experiments.learn has written; give another folder, or --overwrite to replace it"


def _check_output(run: LearnRun, about: Mapping[str, str]) -> None:
    """Raises `BadInput` where the output holds what would be lost."""
    folder = Path(run.output)
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in there if name not in OWN]
    if foreign:
        raise BadInput(
            f"--output={run.output}: holds {foreign[0]}, which experiments.learn did not write and which would go, "
            "expected a folder of its own"
        )
    if run.overwrite or RUN not in there:
        return
    kept = schemas.migrated(json_texts.object_of(folder / RUN, _ABOUT), SCHEMA, str(folder / RUN))
    if any(kept.get(name) != about[name] for name in about):
        raise BadInput(
            f"--output={run.output}: holds what another run learnt ({kept.get('command')}); give another folder, or "
            "--overwrite to replace it"
        )


def _reading(run: LearnRun, model: Model, first: bool) -> tuple[ClassifierConfig, Variables]:
    """The network with the embedding of `--reading`.

    Raises:
      BadInput: another one than the network's own for a checkpoint that has learnt, or beside rows of its last layer.
    """
    if run.reading != NETWORK and not first:
        raise BadInput(
            f"--reading={run.reading}: what {run.checkpoint or run.model} reads was settled when it first learnt, "
            "expected the flag left out"
        )
    if run.reading != NETWORK and run.keep == "head":
        raise BadInput(
            f"--reading={run.reading}: rows of the last layer are of the network's own embedding, expected "
            "--reading=network, or --keep=clips with --base_dir"
        )
    return with_reading(model.config, model.variables, run.reading)


def _taught(run: LearnRun) -> Taught:
    model, place = model_of(run.checkpoint, run.model, run.precision)
    entry = model.extra.get("learner")
    network = without_head(*_reading(run, model, entry is None), run.precision)
    if entry is None:
        learned, facts, skipped = learn_begun.first(run, model, network)
    else:
        learned, facts, skipped = learn_begun.later(run, entry, network, place), [], ()
    clips = learn_clips.read(
        run.audio_dir,
        network.config,
        flag="audio_dir",
        known=learned.known,
        least=run.min_clips,
        max_classes=run.max_classes,
        on_bad_file=run.on_bad_file,
    )
    of_class = zip(learned.clips, rooms.class_of_clips(learned), strict=True)
    there = {clip.digest: (clip.name, name) for clip, name in of_class if clip.digest}
    clips = learn_clips.without(clips, there, f"--audio_dir={run.audio_dir}")
    if not clips.names:
        raise BadInput(f"--audio_dir={run.audio_dir}: all its clips were learnt before, expected some that were not")
    before = learned.known
    learned, said = learn_begun.session(run, learned, network, clips)
    new = [name for name in learned.known if name not in before]
    more = [name for name in dict.fromkeys(clips.labels) if name in before]
    facts += [f"learnt {counted(len(new), 'class', 'classes')}: {_some(new)}"] if new else []
    facts += [f"added clips to {_some(more)}"] if more else []
    facts += [*clips.notices, *([said] if said else [])]
    # The front end alone, and weights that were pretrained without labels, have learnt no class.
    if entry is None and run.reading != "bands" and "pretraining" not in model.extra:
        facts += _heard(model.classes, (*clips.labels, *(model.classes if run.base_dir else ())))
    return learned, network, facts, (*skipped, *clips.skipped)


def _heard(classes: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What is to be said where clips may be ones that the network was trained on."""
    names = [name for name in classes if name in set(labels)]
    if not names:
        return []
    return [
        f"the network was trained on {_some(names)}: clips that were in its training are right more often, also left "
        "out, than new recordings will be"
    ]


def _removed(run: LearnRun) -> Taught:
    model, place = model_of(run.checkpoint, run.model, run.precision)
    network = without_head(model.config, model.variables, run.precision)
    learned = learn_begun.stored_learner(model.extra.get("learner"), network, place)
    names = tuple(dict.fromkeys(run.remove))
    for name in names:
        if name not in learned.known:
            close = difflib.get_close_matches(name, learned.known, n=1)
            raise BadInput(
                f"--remove={name}: {place} has no class {name}, expected {close[0] if close else 'one that it knows'} "
                f"(it knows {_some(learned.known)})"
            )
    if len(learned.known) - len(names) < 2:
        raise BadInput(
            f"--remove={','.join(names)}: leaves {len(learned.known) - len(names)} of {len(learned.known)} classes, "
            "expected at least two to tell apart"
        )
    for name in names:
        learned = rooms.without(learned, name)
    return learned, network, [f"{_some(names)} forgotten, as if never learnt"], ()


def _merged(run: LearnRun) -> Taught:
    models = [load(place, precision=run.precision) for place in run.merge]
    networks = [without_head(model.config, model.variables, run.precision) for model in models]
    first, other = (
        learn_begun.stored_learner(model.extra.get("learner"), network, place)
        for model, network, place in zip(models, networks, run.merge, strict=True)
    )
    hashes = [network.hash(first.learner.reads) for network in networks]
    if hashes[0] != hashes[1]:
        raise BadInput(
            f"--merge={','.join(run.merge)}: their networks are {hashes[0]} and {hashes[1]}, expected two that learnt "
            "on one network"
        )
    own = [(one.name, dict(one.options), one.head) for one in (first, other)]
    if own[0] != own[1]:
        said = " and ".join(f"{name}{learn_begun.said_options(options)}, head {head}" for name, options, head in own)
        raise BadInput(
            f"--merge={','.join(run.merge)}: they learn by {said}, expected one learner with one set of options"
        )
    learn_clips.check_alike(f"--merge={','.join(run.merge)}", first.known, other.known)
    both = [name for name in other.known if name in first.known]
    try:
        learned, said = joining.joined(first, other)
    except BadInput as error:
        raise BadInput(f"--merge={','.join(run.merge)}: {error}") from None
    if len(learned.known) > run.max_classes:
        raise BadInput(
            f"--merge={','.join(run.merge)}: {len(learned.known):,} classes together, expected at most "
            f"{run.max_classes:,}; a larger --max_classes takes them"
        )
    facts = [f"{counted(len(first.known), 'class', 'classes')} and {len(other.known)} are now {len(learned.known)}"]
    facts += [f"both know {_some(both)}, each now from the clips of both"] if both else []
    return learned, networks[0], [*facts, *([said] if said else [])], ()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def _write(
    run: LearnRun,
    learned: Learned,
    network: Network,
    found: learn_report.Forecast,
    facts: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    command: str,
) -> None:
    """Writes all of the output into a folder beside it, which then takes its place."""
    config, variables = classifier_of(learned, network)
    extra = {
        "learner": stored.to_extra(learned, network.hash(learned.learner.reads)),
        "learned": {"command": command, "versions": provenance.versions()},
    }
    if found.calibration is not None:
        extra["calibration"] = calibration.to_extra(found.calibration)
    folder = Path(run.output).resolve()
    temporary = files.temporary_beside(folder)
    try:
        checkpoints.save(temporary / CHECKPOINT, variables, config, extra)
        files.write_csv(temporary / CLASSES, learn_report.class_rows(found))
        text = learn_report.text(found, facts, skipped, run.reject, command)
        files.write_atomically(temporary / REPORT, of_markdown(text))
        about = {**schemas.stamp(SCHEMA), **_identity(run, learned, network), "command": command}
        files.write_atomically(temporary / RUN, json.dumps(about, indent=2) + "\n")
        files.put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # there only when something went wrong

"""A served session on real speech in noise: accuracy by request for source, adapted, and adapted with guards.

    python -m benchmarks.served_session --data=data --output=out/served_session --methods=t3a,tent,dhauds

DATA holds arabic-speech-commands/, SpeechCommands/speech_commands_v0.02/ and ESC-50/. The model is `words15`, from the
package. A request is one window; the next one is sent when the answer is there, and updates come before it
(`--update=before_next`), so that every number repeats. Streams: test clips in a room (five of them), and one that makes
a session collapse: words in a room, then one word again and again, near silence (-60 dBFS), sounds that are no words,
and words again. Each is served three times: without guards and filters; with both; with both and a canary of 60
labelled clips of other speakers in the same room (on a room's stream, one without the room's noise beside it).

Writes OUTPUT/answers.csv (accuracy by blocks of requests), OUTPUT/updates.csv (a row a verdict, with the accuracy on
the canary after it) and OUTPUT/sessions.json (what `describe` says at the end), and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.served_session_streams import PARTS, ROOMS, Stream, collapsing, in_room
from dhauds_jax.command import compilation_cache
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.metrics import softmax
from dhauds_jax.model.record import Model, load
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.serve import canary, filters
from dhauds_jax.serve.adaptation import Adaptation
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.sessions import Sessions
from dhauds_jax.tta import methods

SHAPES = (1, 2, 4, 8, 16, 32)
BLOCK = 48
"""Requests that an accuracy is taken over."""

GUARDS = ("off", "on", "canary", "clean_canary")


def served_of(model: Model) -> Served:
    """The model alone, without temperature, groups and views."""
    apply = jax.jit(lambda variables, wave: model.classifier.apply(variables, wave, mode=EVAL)[0].logits)

    def predict(waves: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return softmax(np.asarray(apply(model.variables, waves)))

    config = model.config
    return Served(config.sample_rate, config.length, tuple(config.classes), SHAPES, dict, predict)


def adaptation_of(method: str, options: dict[str, str], guarded: str, batch: int) -> Adaptation:
    """How a session adapts with guards on or off."""
    resolved = methods.resolve_options(method, "corrected", options)
    how = Adaptation(method, resolved, adapt_batch=batch, update="before_next")
    return how._replace(limits=None, filters=filters.NONE) if guarded == "off" else how


def run(model: Model, served: Served, how: Adaptation, stream: Stream, guarded: str) -> dict[str, Any]:
    """Serves a stream to one session, a second of sound a second by the session's clock."""
    labelled = None
    if guarded.endswith("canary"):
        clips = stream.clean_canary if guarded == "clean_canary" else stream.canary
        labelled = canary.labelled(clips, stream.canary_labels, guarded)
    seconds = iter(range(10**9))
    sessions = Sessions(served, model, how, labelled=labelled, clock=lambda: float(next(seconds)))
    sessions.warm()
    name, started, updates = sessions.open(), time.perf_counter(), 0
    answers, sources, after = [], [], []
    for wave in stream.waves:
        answer, source = sessions.predict(name, wave[None], np.ones(1, np.float32))
        answers.append(answer[0].argmax())
        sources.append(source[0].argmax())
        told = sessions.describe(name)
        if told["updates"] + told["rollbacks"] > updates:
            updates = told["updates"] + told["rollbacks"]
            said = sessions.says(name, stream.canary)
            right = float(np.mean(said.argmax(-1) == stream.canary_labels))
            after.append((len(answers), right, told["verdicts"][-1] if told["verdicts"] else {}))
    told = {**sessions.describe(name), "seconds": time.perf_counter() - started}
    first = served.predict(stream.canary, np.ones(len(stream.canary), np.float32))
    told["canary_source"] = float(np.mean(first.argmax(-1) == stream.canary_labels))
    return {"answers": np.array(answers), "source": np.array(sources), "updates": after, "told": told}


def blocks(stream: Stream) -> list[tuple[str, np.ndarray]]:
    """(name, rows) of the blocks that accuracies are taken over: parts of words by `BLOCK`, others whole."""
    if stream.name != "collapsing":
        clips = len(stream.labels)
        return [(str(at + 1), np.arange(at, min(at + BLOCK, clips))) for at in range(0, clips, BLOCK)]
    found, at = [], 0
    for part, count in PARTS:
        size = BLOCK if part == "words" else count
        found += [(f"{first + 1} {part}", np.arange(first, first + size)) for first in range(at, at + count, size)]
        at += count
    return found


def share(said: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> float | None:
    """Accuracy over rows; None where they are of no class."""
    known = rows[labels[rows] >= 0]
    return round(100 * float(np.mean(said[known] == labels[known])), 1) if len(known) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--methods", default="t3a,tent,dhauds", help="METHOD or METHOD:key=value, comma between")
    parser.add_argument("--streams", default=",".join([*ROOMS, "collapsing"]))
    parser.add_argument("--guards", default=",".join(GUARDS))
    parser.add_argument("--clips", type=int, default=384, help="requests of a room's stream")
    parser.add_argument("--batch", type=int, default=16, help="clips in an update")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    compilation_cache.use()
    model = load("words15")
    served, tables = served_of(model), Tables([], [], {})
    for name in given.streams.split(","):
        if name == "collapsing":
            stream = collapsing(given.data, model, given.seed)
        else:
            stream = in_room(name, given.data, model, given.clips, given.seed)
        for text in given.methods.split(","):
            method, _, option = text.partition(":")
            options = dict(part.split("=") for part in [option] if part)
            for guarded in given.guards.split(","):
                if guarded == "clean_canary" and name in ("clean", "collapsing"):
                    continue
                made = run(model, served, adaptation_of(method, options, guarded, given.batch), stream, guarded)
                add(tables, (name, text, guarded), stream, made)
                write(tables, given.output)


class Tables(NamedTuple):
    """Rows of answers.csv and updates.csv, and what was told of each session."""

    answers: list[tuple[Any, ...]]
    updates: list[tuple[Any, ...]]
    told: dict[str, Any]


def add(tables: Tables, key: tuple[str, ...], stream: Stream, made: dict[str, Any]) -> None:
    """Takes up a run and prints a line of it."""
    shares = [
        (block, *(share(made[which], stream.labels, rows) for which in ("source", "answers")))
        for block, rows in blocks(stream)
    ]
    tables.answers.extend((*key, *row) for row in shares)
    for request, right, verdict in made["updates"]:
        signs = json.dumps(verdict.get("signs", {}))
        row = (request, round(100 * right, 1), verdict.get("kept", True), verdict.get("reason", ""), signs)
        tables.updates.append((*key, *row))
    told = tables.told["/".join(key)] = made["told"]
    canary_shares = [round(100 * right, 1) for _, right, _ in made["updates"]]
    print(" ".join(key), "| source", [row[1] for row in shares], "| session", [row[2] for row in shares], end=" ")
    print("| canary", round(100 * told["canary_source"], 1), canary_shares, "|", told["updates"], "kept,", end=" ")
    print(told["rollbacks_by_reason"], told["answers_from"], told["clips_left_out"], told["bytes"], end=" ")
    print(f"{told['seconds']:.1f} s", flush=True)


def write(tables: Tables, output: Path) -> None:
    """Writes all that there is so far."""
    key = ("stream", "method", "guards")
    write_csv(output / "answers.csv", [(*key, "request", "source", "session"), *tables.answers])
    write_csv(output / "updates.csv", [(*key, "request", "canary", "kept", "reason", "signs"), *tables.updates])
    write_atomically(output / "sessions.json", json.dumps(tables.told, indent=1))


if __name__ == "__main__":
    main()

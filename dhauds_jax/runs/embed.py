"""Embedding recordings and data sets: a vector a clip, in little memory, on disk in a form that others read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dhauds_jax import registry
from dhauds_jax.cells import targets
from dhauds_jax.cells.request import title
from dhauds_jax.data import content
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.data.corrupted.cell import plug_ins
from dhauds_jax.data.corruptions import public, quirks_of
from dhauds_jax.data.sets.base import draw_name
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import precision
from dhauds_jax.runs import embed_clips, embed_encoders, embed_sources
from dhauds_jax.runs.embed_encoders import Encoding
from dhauds_jax.runs.embed_reading import Cell, Work
from dhauds_jax.runs.embed_sources import Source
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, provenance, vector_exports, vector_files, vectors
from dhauds_jax.workdir.vector_parts import Parts


@precision.exactly()
@locks.holding("output")
def embed(run: EmbedRun, command: str) -> str:
    """Embeds what the flags name; returns the sentence that says where the embeddings are.

    Raises:
      BadInput: bad input, before anything is computed; a bad file, with `--on_bad_file=stop`; an output that holds
        something else. FloatingPointError: an embedding is not finite. KeyboardInterrupt: after what there was has
        been kept.
    """
    pairs = _check(run)
    if run.text is not None:
        return _embed_text(run, command)
    made = embed_encoders.encoding_of(run)
    source = embed_sources.of_run(run)
    for corruption, level in pairs:
        if corruption != CLEAN:
            targets.check_noise(source.dataset, run.noise_dir, corruption, level, made.encoder.sample_rate)
    print(f"{_place(run)}: {counted(len(source.names), 'clip')}")
    for notice in source.notices:
        print(f"note: {notice}")
    each = f" for each of {counted(len(pairs), 'corruption')}" if len(pairs) > 1 else ""
    say(f"work: a pass over {counted(len(source.names), 'clip')}{each}, {counted(run.batch_size, 'window')} at a time")
    estimate, said = Estimate(len(pairs), "corruption", few=True), []
    for pair in pairs:
        with within(len(pairs) > 1):
            said.append(_embed_cell(run, made, source, *pair, len(pairs) > 1, command))
        estimate.part()
    for line in said[:-1]:
        print(line)
    return said[-1]


def _check(run: EmbedRun) -> list[tuple[str, str]]:
    """The corruptions and levels, from flags that fit together."""
    check_number("--batch_size", run.batch_size, 1)
    check_number("--save_every_s", run.save_every_s, 0.0)
    check_on_bad_file(run.on_bad_file)
    quirks_of(run.profile)
    for kind in run.export:
        registry.check("--export", kind, tuple(vector_exports.PLACES))
    given = [name for name in ("audio_dir", "dataset", "text") if getattr(run, name) is not None]
    if len(given) != 1:
        found = " and ".join(f"--{name}" for name in given) or "none of them"
        raise BadInput(f"--audio_dir, --dataset and --text: {found} given, expected one of the three")
    pairs = targets.expand(run.corruption, run.level)
    if not pairs:
        raise BadInput(f"--corruption: names none, expected {CLEAN} or corruptions")
    if run.dataset is None and pairs != [(CLEAN, "-")]:
        raise BadInput(
            f"--corruption={','.join(run.corruption)}: is drawn for the clips of a data set, expected --dataset in "
            f"place of --{given[0]} (--dataset=folder takes a folder a class)"
        )
    if run.truth is not None and run.audio_dir is None:
        raise BadInput(f"--truth={run.truth}: tells of recordings, expected it with --audio_dir alone")
    return pairs


def _place(run: EmbedRun) -> str:
    """What is embedded, as a user named it."""
    return str(run.audio_dir) if run.dataset is None else f"{run.dataset} ({', '.join(run.split)})"


def _embed_text(run: EmbedRun, command: str) -> str:
    """Embeds the phrases of a file; returns the sentence that says where."""
    texts, folder = embed_encoders.phrases(run.text), Path(run.output)
    say(f"work: {counted(len(texts), 'phrase')}")
    found, about = embed_encoders.text_vectors(run, texts)
    parts = Parts(folder, {"encoder": about, "text": texts})
    if not parts.finished:
        rows = [(text, *[""] * (len(vector_files.COLUMNS) - 1)) for text in texts]
        told = {"source": {"text": run.text}, "command": command, **provenance.code()}
        vector_files.write(folder, [found], rows, found.shape[1], {**parts.identity, "normalised": True, **told})
    beside = _export(run, folder)
    place = f"{folder / vector_files.VECTORS} ({found.shape[0]} x {found.shape[1]}, of length 1)"
    done = "were embedded already" if parts.finished else "embedded"
    return f"{counted(len(texts), 'phrase')} {done}: {place}{beside}"


def _export(run: EmbedRun, folder: Path) -> str:
    """Writes what `--export` asks for; returns a clause that says so."""
    if not run.export:
        return ""
    return f" (and {', '.join(vector_exports.export(vectors.read(folder, zeros=True), folder, run.export))})"


def _embed_cell(
    run: EmbedRun, made: Encoding, source: Source, corruption: str, level: str, several: bool, command: str
) -> str:
    """Embeds the clips of one corruption, or finds them embedded; returns the sentence that says where."""
    cell = _cell(run, source, corruption, level, made.encoder.sample_rate)
    name = title(public(corruption), level)
    folder = Path(run.output) / name.replace(":", ".") if several else Path(run.output)
    identity = {
        "encoder": made.about,
        "long": made.long,
        "corruption": _drawn_from(cell, source, run),
        "clips": source.digest,
        "listing": source.listing,
    }
    source_of = ("audio_dir", "truth") if run.dataset is None else ("dataset", "data_dir", "split", "noise_dir")
    scene = {"scene": source.scene} if source.scene else {}
    asked = {"source": {**{flag: getattr(run, flag) for flag in source_of}, **scene}, "command": command}
    settings = {"batch_size": run.batch_size, "save_every_s": run.save_every_s, "skip": run.on_bad_file == "skip"}
    work = Work(folder, source, made.encoder, cell, name if several else "embed", identity, asked, **settings)
    return embed_clips.embed_clips(work) + _export(run, folder)


def _cell(run: EmbedRun, source: Source, corruption: str, level: str, rate: int) -> Cell | None:
    if corruption == CLEAN:
        return None
    bank = targets.bank_for(source.dataset, run.noise_dir, corruption, level, rate)
    return Cell(corruption, level, run.seed, run.profile, targets.Noise(bank, content.of_bank(bank)))


def _drawn_from(cell: Cell | None, source: Source, run: EmbedRun) -> Mapping[str, Any]:
    """What a manifest says of a corruption: all that its draw follows from beside the clips."""
    if cell is None:
        return {"name": CLEAN}
    own = plug_ins(run.dataset, cell.corruption)
    return {
        "name": public(cell.corruption),
        "level": cell.level,
        "dataset": draw_name(source.dataset),
        "seed": cell.seed,
        "profile": cell.profile,
        **({"noise": cell.noise.digest} if cell.noise.digest else {}),
        **({"plug_ins": own} if own else {}),
    }

"""Zero-shot grids over embedded sets: every row of the flags' lists that makes sense, a record each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax import digests
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import say
from dhauds_jax.nets import precision
from dhauds_jax.progress import progress_bar
from dhauds_jax.runs import zeroshot_backgrounds as places
from dhauds_jax.runs import zeroshot_chunks as chunks
from dhauds_jax.runs import zeroshot_recipes, zeroshot_sets, zeroshot_towers, zeroshot_unknown
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot_records import cell_of, line_of, record_of
from dhauds_jax.runs.zeroshot_rows import OF_CLIPS, Grid, Row, check, grid_of
from dhauds_jax.runs.zeroshot_scales import check_scale
from dhauds_jax.runs.zeroshot_scores import Curve, Scored, check_training, curve_of, scored, too_few_shots
from dhauds_jax.runs.zeroshot_sets import LabelledSet, check_owners, clean_of
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.tta import selection
from dhauds_jax.types import Background
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import locks, provenance, records, vectors
from dhauds_jax.zeroshot import scorers
from dhauds_jax.zeroshot.request import AUTO, ZeroshotGrid

KIND = "zeroshot"


class Inputs(NamedTuple):
    """What the rows are computed from.

    Attributes:
      sets: the sets.
      towers: what the checkpoint gives.
      others: recordings of backgrounds; None without.
      words: for every set the words of each tested clip's background; None where nothing is known.
    """

    sets: Sequence[LabelledSet]
    towers: Towers
    others: places.Recordings | None
    words: Sequence[tuple[str, ...] | None]


@precision.exactly()
@locks.holding()
def zeroshot(run: ZeroshotRun, command: str) -> str:
    """Runs every row that has no record yet; returns the sentence that says where the records are.

    Raises:
      BadInput: bad input, in one sentence, before a row is computed.
    """
    waits: tuple[str, ...] = ()
    if run.recipe:
        run, waits = zeroshot_recipes.expanded(run)
        for reason in waits:
            print(f"waits: {reason}")
    check(run)
    selection.CRITERIA[run.criterion]
    inputs = _inputs(run)
    found, written, note = run_rows(run, inputs, command)
    there = f", {counted(len(found) - written, 'was', 'were')} there already" if written < len(found) else ""
    note += f"; {counted(len(waits), 'part')} of {run.recipe} {plural(len(waits), 'waits', 'wait')}" if waits else ""
    return f"{counted(written, 'row')} written{there}{note}: {Path(run.workdir) / records.KINDS[KIND].file}"


def _inputs(run: ZeroshotRun) -> Inputs:
    """Reads what the flags name, all of it checked."""
    if bool(run.embeddings) == (run.dataset is not None):
        given = "both are" if run.embeddings else "neither is"
        raise BadInput(f"--embeddings and --dataset: {given} given, expected one of the two")
    if run.dataset is not None:
        from dhauds_jax.runs import zeroshot_embedding

        sets, other = zeroshot_embedding.embedded(run)
    else:
        sets = zeroshot_sets.read(run.embeddings, run.folds, run.split, run.train_split, run.seed)
        other = vectors.read_all(run.background_embeddings) if run.background_embeddings else ()
    return inputs_of(run, sets, other)


def inputs_of(run: ZeroshotRun, sets: Sequence[LabelledSet], other: Sequence[vectors.Vectors]) -> Inputs:
    """The inputs of rows over sets that are there; raises `BadInput` for what does not go together."""
    for one in other:
        if one.vectors.shape[1] != sets[0].vectors.shape[1]:
            raise BadInput(
                f"--background_embeddings={one.place}: vectors of {one.vectors.shape[1]} numbers, expected "
                f"{sets[0].vectors.shape[1]} as {sets[0].about.place} has; embed both by one network"
            )
    for note in zeroshot_sets.of_few_classes(sets):
        print(f"note: {note}")
    others = places.recordings(other)
    places.check(run, sets, others)
    if chunks.KIND in run.background:
        sets, notes = chunks.with_event_free(sets)
        for note in notes:
            print(f"note: {note}")
    words = places.words(run, sets, others) if "text" in run.background else [None] * len(sets)
    scenes = list(dict.fromkeys(scene for some in words for scene in some or ()))
    needs = zeroshot_towers.needs_of(run, scenes)
    return Inputs(sets, zeroshot_towers.load(run, sets, other, scenes, needs), others, words)


def run_rows(
    run: ZeroshotGrid, inputs: Inputs, command: str, extra: Mapping[str, Any] = {}, printed: bool = True
) -> tuple[list[dict[str, Any]], int, str]:
    """Computes the rows that have no record yet, and appends theirs.

    Args:
      run: the flags.
      inputs: of the rows.
      command: the command line, for the records.
      extra: goes into every record.
      printed: whether a line is printed of each.

    Returns:
      the records of all rows in their order, how many were computed now, and a clause on records set aside.
    """
    grid = grid_of(run, inputs.sets, [_known(run, inputs, place) for place in range(len(inputs.sets))])
    if printed:
        _say_of(run, grid, inputs)
    _check_all(run, grid, inputs)
    workdir, done = Path(run.workdir), records.done(Path(run.workdir), KIND)
    cells = [_cell(run, row, inputs) for row in grid.rows]
    left = sum(cell not in done.cells for cell in cells)
    if printed and left:
        say(f"work: {counted(left, 'row')} over {counted(len(inputs.sets), 'set')}")
    about = provenance.block(command) if left else {}
    found, held = [], _Held(run, inputs)
    with progress_bar(desc=KIND, total=left, unit="row", disable=not printed or not left) as bar:
        for row, cell in zip(grid.rows, cells, strict=True):
            record = done.cells.get(cell)
            if record is None:
                began = time.monotonic()
                it, background, curve = held.of(row)
                record = record_of(run, row, it, curve, background, inputs.towers)
                known = {"background_of": _origin(row, inputs), "seconds": time.monotonic() - began}
                record = {**record, **about, **known, "cell": cell, **extra}
                records.append(workdir, record, KIND)
                if printed:
                    bar.write(line_of(record))
                bar.update()
            found.append(record)
    return found, left, done.note


def _say_of(run: ZeroshotGrid, grid: Grid, inputs: Inputs) -> None:
    """What is left out, and what is worth knowing of the others, before the work."""
    for reason in grid.left_out:
        print(f"left out: {reason}")
    for place in dict.fromkeys(row.place for row in grid.rows if row.background == "text"):
        print(f"note: {places.said_of(inputs.sets[place].name, inputs.words[place])}")
    if any(row.train == "clean" for row in grid.rows):
        place = clean_of(inputs.sets).about.place
        print(f"note: prototypes (clean) are of {place}, the one set without a column background or a corruption")
    few = (too_few_shots(row, source_of(row, inputs.sets), run.shots) for row in grid.rows)
    for note in dict.fromkeys(filter(None, few)):
        print(f"note: {note}")


class _Held:
    """The prototypes, backgrounds and curves of the rows before, which the next one mostly shares."""

    def __init__(self, run: ZeroshotGrid, inputs: Inputs) -> None:
        self._run, self._inputs = run, inputs
        self._key, self._it = None, None
        self._backgrounds: dict[str, Background | None] = {}
        self._curves: dict[tuple[str, str], Curve] = {}
        self._asked = [float(text) for text in run.weight if text != AUTO]

    def of(self, row: Row) -> tuple[Scored, Background | None, Curve]:
        """The row's set with its prototypes, its background, and the scores with every weight."""
        run, key = self._run, (row.place, row.train, row.prototypes)
        if key != self._key:
            one = self._inputs.sets[row.place]
            self._it = scored(run, row.prototypes, one, source_of(row, self._inputs.sets), self._inputs.towers)
            self._key, self._backgrounds, self._curves = key, {}, {}
        if row.background not in self._backgrounds:
            self._backgrounds[row.background] = _background(run, row, self._inputs, self._it)
        background, which = self._backgrounds[row.background], (row.background, row.scorer)
        if which not in self._curves:
            self._curves = {which: curve_of(row, background, self._it, run.online, self._asked, run.criterion)}
        return self._it, background, self._curves[which].of_row(row)


def source_of(row: Row, sets: Sequence[LabelledSet]) -> LabelledSet:
    """The set whose clips a row's prototypes are made of."""
    return clean_of(sets) if row.train == "clean" else sets[row.place]


def _known(run: ZeroshotGrid, inputs: Inputs, place: int) -> dict[str, str]:
    """The backgrounds that there are of a set, with why one is left out ("" where it is not).

    Beside sets that name theirs, audio is only of those that do.
    """
    one = inputs.sets[place]
    named = any(each.about.backgrounds is not None for each in inputs.sets)
    found = ["quiet", *([chunks.KIND] if chunks.has_chunks(one) else [])]
    if inputs.words[place] is not None:
        found.append("text")
    if inputs.others is not None:
        if one.about.backgrounds is not None or not named:
            found.append("audio")
        if one.about.backgrounds is not None:
            found.append("oracle")
    known = dict.fromkeys(found, "")
    asked = "audio" in run.background and "audio" in known and run.profile != "reference"
    if asked and (scene := places.without_another(one, inputs.others)):
        known["audio"] = f"scene {scene} has one recording, and a clip's own is left out"
    return known


def _background(run: ZeroshotGrid, row: Row, inputs: Inputs, it: Scored) -> Background | None:
    makers: dict[str, Callable[[], Background | None]] = {
        "none": lambda: None,
        "text": lambda: places.of_text(inputs.words[row.place], inputs.towers.scenes),
        "audio": lambda: places.of_audio(it.one, inputs.others, run.profile),
        "quiet": lambda: places.of_quiet(it.one, it.plain),
        "chunks": lambda: chunks.of_chunks(it.one),
        "oracle": lambda: places.of_oracle(it.one, inputs.others),
    }
    return makers[row.background]()


def _cell(run: ZeroshotGrid, row: Row, inputs: Inputs) -> str:
    """What names a row; a background by what it follows from."""
    one = inputs.sets[row.place]
    origin: list[Any] = []
    if row.background == "text":
        origin = list(dict.fromkeys(inputs.words[row.place])), digests.of_texts(list(inputs.words[row.place]))
    elif row.background in ("audio", "oracle"):
        origin = [inputs.others.digest, digests.of_texts(list(inputs.others.scenes))]
        origin += [digests.of_texts(list(one.about.backgrounds or ()))]
    elif row.background == chunks.KIND:
        origin = [digests.of_texts(list(one.about.groups))]
    return cell_of(run, row, one, source_of(row, inputs.sets), inputs.towers, origin)


def _origin(row: Row, inputs: Inputs) -> str | None:
    """Names what a background is made of, but for which clip lies over which: a seed draws that."""
    if row.background == "text":
        return digests.of_texts(sorted(set(inputs.words[row.place])))
    if row.background in ("audio", "oracle"):
        return digests.of_texts(inputs.others.digest, list(inputs.others.scenes))
    return None


def _check_all(run: ZeroshotGrid, grid: Grid, inputs: Inputs) -> None:
    """Raises what any row would refuse, before the first one is computed."""
    for row in grid.rows:
        if row.train == "clean":
            check_owners(clean_of(inputs.sets), inputs.sets[row.place], run.folds)
    kinds = list(dict.fromkeys(row.prototypes for row in grid.rows))
    zeroshot_towers.check_weights(run, inputs.towers)
    check_scale(run, inputs.towers, kinds, [source_of(row, inputs.sets) for row in grid.rows])
    seen = {}
    for row in grid.rows:
        key = (row.place, row.train, row.prototypes)
        if row.prototypes in OF_CLIPS and key not in seen:
            seen[key] = check_training(row.prototypes, source_of(row, inputs.sets), run.topn)
        zeroshot_unknown.check(run, row, inputs.sets[row.place])
        if "treff" in scorers.members(row.scorer):
            check_training("supervised", inputs.sets[row.place], run.topn)

"""What a command that embeds has done so far: parts that appear whole or not at all, joined when all are there.

A killed command loses the part that it was making. Its clips are computed again when the same command is given, and
since a clip's vector follows from the clip alone, the joined files have the same bytes whenever it was killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from dhauds_jax import json_texts
from dhauds_jax.arrays import read_npz
from dhauds_jax.errors import BadInput, told
from dhauds_jax.files import write_atomically
from dhauds_jax.wording import differing
from dhauds_jax.workdir import vector_files
from dhauds_jax.workdir.vector_files import PARTS

RUN = "run.json"
"""In the folder of parts: what they are of."""


class Clip(NamedTuple):
    """What became of a clip.

    Attributes:
      vector: (width,) float32; None for one that could not be used.
      seconds: its length.
      windows: how many rows of the network its vector is the mean of.
      longer: whether it was longer than one of them.
      silent: whether no sound is in it.
      digest: of its samples, or of what its file holds.
      notices: (sentence, number) of what had to be done to it.
      bad: why it could not be used; "" for one that could.
    """

    vector: Float32[np.ndarray, " width"] | None
    seconds: float = 0.0
    windows: int = 0
    longer: bool = False
    silent: bool = False
    digest: str = ""
    notices: tuple[tuple[str, float], ...] = ()
    bad: str = ""


class Parts:
    """The parts in one output folder; whoever calls holds its lock (`workdir.locks`).

    Attributes:
      clips: how many clips, from the first on, are in them.
      skipped: how many of these could not be used.
      finished: whether all is done and joined.
      same_listing: whether what may differ does not: then nobody need look what the files hold.

    Args:
      output: the folder of the embeddings.
      identity: what they follow from (JSON-able), compared with what is there.
      alike: names of what may differ between that and this command (`same_listing` says whether it does).

    Raises:
      BadInput: parts or finished embeddings of another command are there.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], alike: Sequence[str] = ()) -> None:
        self.output, self.folder = output, output / PARTS
        self.identity = json.loads(json.dumps(dict(identity)))
        self._alike = tuple(alike)
        for name in (vector_files.VECTORS, vector_files.INDEX, vector_files.MANIFEST):
            for left in output.glob(f"{name}.tmp-*"):  # by a command that was killed while it wrote
                left.unlink()
        finished = vector_files.read_manifest(output)
        self.finished = finished is not None
        self.same_listing = True
        if finished is not None:
            self._check({name: finished.get(name) for name in self.identity}, "embeddings")
            shutil.rmtree(self.folder, ignore_errors=True)  # of a command that was killed when all was done
        elif (self.folder / RUN).is_file():
            stored = json_texts.object_of(self.folder / RUN, f"what experiments.embed left; remove {self.folder}")
            self._check(stored, "the parts of unfinished embeddings")
        self._remove_unfollowed()
        self.clips = self.skipped = 0
        for clips in self.read(vectors=False):
            self.clips += len(clips)
            self.skipped += sum(bool(clip.bad) for clip in clips)

    def _remove_unfollowed(self) -> None:
        """Removes parts that do not follow on the others: the folder was moved away while a command wrote there."""
        begin = 0
        for path in sorted(self.folder.glob("*-*.npz")):
            first, _, end = path.stem.partition("-")
            if first.isdigit() and end.isdigit() and int(first) == begin:
                begin = int(end)
            else:
                path.unlink()

    def _check(self, stored: Mapping[str, Any], what: str) -> None:
        mine, theirs = ({k: v for k, v in each.items() if k not in self._alike} for each in (self.identity, stored))
        if mine != theirs:
            raise BadInput(
                f"--output={self.output}: holds {what} of another command (other {differing(theirs, mine)}), expected "
                "those of this one; give another folder, or the same command"
            )
        self.same_listing = all(stored.get(name) == self.identity.get(name) for name in self._alike)

    def add(self, clips: Sequence[Clip]) -> None:
        """The next clips, in one file."""
        if not clips:
            return
        if not (self.folder / RUN).is_file():
            write_atomically(self.folder / RUN, json.dumps(self.identity, indent=2) + "\n")
        found = [clip.vector for clip in clips if clip.vector is not None]
        vectors = np.stack(found) if found else np.zeros((0, 0), np.float32)
        told = json.dumps([clip._replace(vector=None)._asdict() for clip in clips])
        arrays = {"vectors": vectors, "clips": np.frombuffer(told.encode(), np.uint8)}
        name = f"{self.clips:08d}-{self.clips + len(clips):08d}.npz"
        write_atomically(self.folder / name, lambda file: np.savez(file, **arrays))
        self.clips += len(clips)
        self.skipped += sum(bool(clip.bad) for clip in clips)

    def read(self, vectors: bool = True) -> Iterator[list[Clip]]:
        """The clips, part by part, with their `vectors` or without."""
        if not self.folder.is_dir():
            return
        begin = 0
        for path in sorted(self.folder.glob("*-*.npz")):
            if not path.name.startswith(f"{begin:08d}-"):
                raise BadInput(f"{self.folder}: lacks the part that begins with clip {begin}; remove the folder")
            clips = self._part(path, vectors)
            begin += len(clips)
            yield clips

    def _part(self, path: Path, vectors: bool) -> list[Clip]:
        """The clips of one part."""
        again = f"what experiments.embed left; remove {self.folder} to begin anew"
        stored = read_npz(path, ("clips", "vectors") if vectors else ("clips",), again)
        try:
            clips = [_clip(one) for one in json_texts.parsed(stored["clips"].tobytes())]
            rows = iter(stored["vectors"] if vectors else ())
            return [clip if clip.bad or not vectors else clip._replace(vector=next(rows)) for clip in clips]
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
            raise BadInput(f"{path}: does not hold clips ({told(error)}), expected {again}") from error

    def remove(self) -> None:
        """Forgets the parts: they are joined."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _clip(told: Mapping[str, Any]) -> Clip:
    return Clip(**{**told, "notices": tuple((text, value) for text, value in told["notices"])})

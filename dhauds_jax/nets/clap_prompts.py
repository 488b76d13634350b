"""Sentences to unit vectors of an audio-text model, kept beside its checkpoint.

A sentence goes through the text tower once: its vector lies in `prompts.npz` from then on, with the hash of the tower
that made it, and later runs need neither the tower's time nor a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax import digests, parallel
from dhauds_jax.arrays import read_npz
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint, clap_tokenizer
from dhauds_jax.nets.clap_tokenizer import Tokenizer, bucket, padded
from dhauds_jax.types import AudioText, Variables
from dhauds_jax.wording import counted, plural

PROMPTS = "prompts.npz"
TOKENIZER = "tokenizer"
"""In a checkpoint's folder: the kept vectors, and the folder of the tokenizer's files."""
FEW, ROWS = 8, 64
"""Sentences at once: a power of two from the one to the other, so that few programs are compiled."""


def embed_texts(
    audio_text: AudioText,
    variables: Variables,
    texts: Sequence[str],
    folder: str | Path,
    say: Callable[[str], object] = print,
) -> Float[np.ndarray, "texts width"]:
    """The unit vector of each sentence: kept ones as they are, the rest by the text tower, which are kept.

    Args:
      audio_text: the model.
      variables: of its checkpoint.
      texts: the sentences; one may come twice.
      folder: of the checkpoint, with `prompts.npz` and `tokenizer/`, either of which may be absent.
      say: takes one line where sentences were cut, or where the folder cannot be written to.

    Raises:
      BadInput: sentences that are not kept, and no tokenizer (which files to put where), or another model's.
    """
    folder = Path(folder)
    tower = tower_hash(audio_text, variables)
    known = kept(folder, tower)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        known |= dict(zip(new, _computed(audio_text, variables, new, folder, say)))
        _keep(folder, tower, known, say)
    return np.stack([known[text] for text in texts]) if texts else np.zeros((0, _width(audio_text)), np.float32)


def tower_hash(audio_text: AudioText, variables: Variables) -> str:
    """What names a text tower: the digest of its sizes and its weights."""
    config, own = audio_text.config, {"params": {"text": variables["params"]["text"]}}
    return digests.of_texts(config.text, config.projection, checkpoint.variables_hash(own))


def kept(folder: Path, tower: str) -> dict[str, Float[np.ndarray, " width"]]:
    """Sentence -> its vector, of those in a folder that this tower and its tokenizer made; {} where there are none.

    A tokenizer that is not there any more says nothing against them.
    """
    try:
        texts, vectors, *made = read_npz(folder / PROMPTS, ("texts", "vectors", "tower", "tokenizer"), "").values()
    except BadInput:  # absent or damaged: they are made anew
        return {}
    if texts.ndim != 1 or vectors.ndim != 2 or vectors.dtype.kind != "f" or not np.isfinite(vectors).all():
        return {}
    made = (str(made[0]), str(made[1]))
    own = clap_tokenizer.digest(folder / TOKENIZER) or made[1]
    if made != (tower, own) or len(texts) != len(vectors):
        return {}
    return dict(zip(map(str, texts), vectors))


def _keep(folder: Path, tower: str, known: Mapping[str, np.ndarray], say: Callable[[str], object]) -> None:
    if not parallel.writes():
        return
    arrays = {
        "texts": np.array(list(known)),
        "vectors": np.stack(list(known.values())),
        "tower": np.array(tower),
        "tokenizer": np.array(clap_tokenizer.digest(folder / TOKENIZER)),
    }
    try:
        write_atomically(folder / PROMPTS, lambda file: np.savez(file, **arrays))
    except OSError as error:
        say(f"note: {folder / PROMPTS} cannot be written ({error.strerror}); the next run embeds its sentences anew")


def _computed(
    audio_text: AudioText, variables: Variables, texts: Sequence[str], folder: Path, say: Callable[[str], object]
) -> Float[np.ndarray, "texts width"]:
    sizes, place = audio_text.config.text, folder / TOKENIZER
    if not clap_tokenizer.files_of(place):
        raise BadInput(
            f"checkpoint {folder}: {counted(len(texts), 'sentence')} ({texts[0]!r}{', ...' * (len(texts) > 1)}) "
            f"{plural(len(texts), 'has', 'have')} no vector in {PROMPTS}, and there is no tokenizer; put "
            f"{clap_tokenizer.EXPECTED} into {place}"
        )
    most = min(clap_tokenizer.MOST, sizes["positions"] - 2)
    tokenizer = Tokenizer(place, most)
    if tokenizer.size > sizes["vocabulary"]:
        raise BadInput(
            f"tokenizer {place}: numbers {tokenizer.size:,} tokens, but the text tower has {sizes['vocabulary']:,}; "
            f"expected the one that the model was trained with"
        )
    tokens = tokenizer(texts)
    if tokens.cut:
        count = counted(len(tokens.cut), "sentence was", "sentences were")
        say(f"note: {count} longer than {most} tokens and cut: {texts[tokens.cut[0]][:60]!r}")
    return embed_tokens(audio_text, variables, tokens.rows, most)


def embed_tokens(
    audio_text: AudioText,
    variables: Variables,
    rows: Sequence[Sequence[int]],
    most: int = clap_tokenizer.MOST,
    tower: Callable[..., Array] | None = None,
) -> Float[np.ndarray, "rows width"]:
    """The unit vectors of token numbers: rows of alike lengths together, padded to the buckets' lengths.

    `tower` is `audio_text.text` jitted before, for who calls it often.

    Raises:
      BadInput: a vector that is not finite or all zero: weights that are damaged.
    """
    own = jax.device_put({"params": {"text": variables["params"]["text"]}})
    tower = jax.jit(audio_text.text) if tower is None else tower
    found = np.zeros((len(rows), _width(audio_text)), np.float32)
    for places, length in _batches([bucket(len(row), most) for row in rows]):
        full = max(FEW, 1 << (len(places) - 1).bit_length())
        ids, mask = padded([rows[place] for place in [*places, *places[:1] * (full - len(places))]], length)
        found[places] = np.asarray(tower(own, ids, mask))[: len(places)]
    norms = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and norms.all()):
        raise BadInput("text tower: gives vectors that are not finite or all zero; convert its checkpoint anew")
    return (found / norms).astype(np.float32)


def _batches(lengths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Places of one length, at most `ROWS` at once."""
    for length in sorted(set(lengths)):
        places = [place for place, own in enumerate(lengths) if own == length]
        for first in range(0, len(places), ROWS):
            yield places[first : first + ROWS], length


def _width(audio_text: AudioText) -> int:
    return audio_text.config.projection["width"]


def copy_tokenizer(source: str | Path, folder: Path) -> None:
    """Copies the files of a tokenizer into a checkpoint's folder."""
    place = folder / TOKENIZER
    place.mkdir(exist_ok=True)
    for file in clap_tokenizer.files_of(source):
        (place / file.name).write_bytes(file.read_bytes())

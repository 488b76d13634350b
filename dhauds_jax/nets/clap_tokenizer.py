"""Sentences to the token numbers of a CLAP text tower: RoBERTa's byte-level BPE from a user's own files.

No vocabulary comes with this package and nothing is downloaded. `tokenizers` (extra `text`) reads the files, and is
only asked where a sentence is new to a checkpoint (`clap_prompts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax.errors import BadInput

EXTRA_HINT = "pip install 'dhauds_jax[text]'"
WHOLE, VOCABULARY, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
EXPECTED = f"{WHOLE}, or {VOCABULARY} and {MERGES}, of RoBERTa"
BEGIN, PAD, END = 0, 1, 2
SPECIAL = {"<s>": BEGIN, "<pad>": PAD, "</s>": END}
"""What every file must number so, for the towers do."""
FURTHER = ("<unk>", "<mask>")
BUCKETS = (8, 16, 32, 77)
"""Lengths in tokens to which sentences are padded; longer ones are cut to the last."""
MOST = BUCKETS[-1]


class Tokens(NamedTuple):
    """Some sentences as token numbers.

    Attributes:
      rows: the numbers of each sentence, `<s>` and `</s>` among them.
      cut: places of the sentences that were longer.
    """

    rows: tuple[tuple[int, ...], ...]
    cut: tuple[int, ...]


def files_of(folder: str | Path) -> tuple[Path, ...]:
    """The files of a tokenizer's folder that are read, () where they are not there."""
    folder = Path(folder)
    for names in ((WHOLE,), (VOCABULARY, MERGES)):
        if all((folder / name).is_file() for name in names):
            return tuple(folder / name for name in names)
    return ()


def digest(folder: str | Path) -> str:
    """SHA-256 of the files of a tokenizer's folder, hex digits; "" where there are none."""
    files = files_of(folder)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""


class Tokenizer:
    """RoBERTa's tokenizer as a folder has it.

    Attributes:
      size: token numbers that it gives: 0, ..., size - 1.
    """

    def __init__(self, folder: str | Path, most: int = MOST) -> None:
        """Reads a folder.

        Args:
          folder: with `tokenizer.json`, or with `vocab.json` and `merges.txt`.
          most: tokens of a sentence, longer ones are cut.

        Raises:
          BadInput: no such files, others, numbers other than the tower's, or `tokenizers` is not installed.
        """
        files = files_of(folder)
        if not files:
            raise BadInput(f"tokenizer {folder}: no such files, expected a folder with {EXPECTED}")
        self._tokenizer = _read(files)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(most)
        self.size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        found = {token: self._tokenizer.token_to_id(token) for token in SPECIAL}
        if found != SPECIAL:
            raise BadInput(f"tokenizer {folder}: numbers its marks {found}, expected {SPECIAL}: another model's")
        ids = self._tokenizer.encode("a").ids
        if (ids[:1], ids[-1:]) != ([BEGIN], [END]):
            raise BadInput(f"tokenizer {folder}: puts no <s> and </s> around sentences, expected RoBERTa's")

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The token numbers of sentences."""
        found = self._tokenizer.encode_batch(list(texts))
        cut = tuple(place for place, each in enumerate(found) if each.overflowing)
        return Tokens(tuple(tuple(each.ids) for each in found), cut)


def _read(files: Sequence[Path]) -> Any:
    try:
        from tokenizers import Tokenizer as Whole
    except ImportError:
        raise BadInput(f"{files[0]}: reading it needs tokenizers, which is not installed: {EXTRA_HINT}") from None
    try:
        return Whole.from_file(str(files[0])) if len(files) == 1 else _of_parts(*files)
    except Exception as error:  # the package raises bare ones
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{files[0].parent}: is no tokenizer ({first}), expected {EXPECTED}") from None


def _of_parts(vocabulary: Path, merges: Path) -> Any:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = made.get_vocab()
    marks = [mark for mark in (*SPECIAL, *FURTHER) if mark in known]
    made.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    made.post_processor = processors.RobertaProcessing(("</s>", END), ("<s>", BEGIN), add_prefix_space=False)
    return made


def bucket(tokens: int, most: int = MOST) -> int:
    """The length to which a sentence of so many tokens is padded."""
    return min(most, next(length for length in BUCKETS if length >= min(tokens, MOST)))


def padded(
    rows: Sequence[Sequence[int]], tokens: int
) -> tuple[Int[np.ndarray, "sentences {tokens}"], Bool[np.ndarray, "sentences {tokens}"]]:
    """Sentences of at most `tokens` numbers as one array with `<pad>` behind, and where it holds numbers."""
    ids = np.full((len(rows), tokens), PAD, np.int32)
    mask = np.zeros(ids.shape, bool)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = True
    return ids, mask

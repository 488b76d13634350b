"""Sentences to vectors: kept beside the checkpoint, in buckets as padded to 77, and what is missing named."""

import sys

import jax
import numpy as np
import pytest

from dhauds_jax.nets import clap_prompts, clap_zoo
from dhauds_jax.nets.clap_prompts import PROMPTS, embed_texts, embed_tokens, kept, tower_hash
from dhauds_jax.nets.clap_tokenizer import Tokenizer, padded
from tests.nets.clap import SENTENCES, variables_of, write_vocabulary

pytest.importorskip("tokenizers", reason="reads and trains vocabularies")

SHORT = ["rain", "a dog", "park", "a siren", "the street"]
MODEL = clap_zoo.build_audio_text(clap_zoo.PRESETS["clap_test"])


@pytest.fixture
def folder(tmp_path):
    write_vocabulary(tmp_path / "tokenizer")
    return tmp_path


@pytest.mark.slow
def test_vectors_are_those_of_sentences_padded_to_77_tokens(folder):
    texts = ["", *SENTENCES, " ".join(SENTENCES * 3)]
    said = []
    found = embed_texts(MODEL, variables_of(), texts, folder, said.append)
    ids, mask = padded(Tokenizer(folder / "tokenizer")(texts).rows, 77)
    whole = np.asarray(jax.jit(MODEL.text)(variables_of(), ids, mask))
    # Sums of float32 in another order: 1.5e-6 where XLA does not optimise; the goldens (test_clap_parity.py) 1e-6.
    np.testing.assert_allclose(found, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=3e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    (line,) = said
    assert line.startswith("note: 1 sentence was longer than 77 tokens and cut: 'This is a sound of a dog barking")


def test_kept_sentences_need_no_tokenizer_and_come_out_to_the_bit(folder, monkeypatch):
    first = embed_texts(MODEL, variables_of(), SHORT[:3], folder)
    embed_texts(MODEL, variables_of(), SHORT[3:5], folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).unlink()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr(clap_prompts, "embed_tokens", None)
    again = embed_texts(MODEL, variables_of(), [SHORT[2], SHORT[0], SHORT[2], SHORT[1]], folder)
    np.testing.assert_array_equal(again, first[[2, 0, 2, 1]])
    assert list(kept(folder, tower_hash(MODEL, variables_of()))) == SHORT[:5]
    assert embed_texts(MODEL, variables_of(), [], folder).shape == (0, 16)
    with pytest.raises(
        ValueError, match=r"1 sentence \('new'\) has no vector in prompts.npz, and there is no tokeni"
    ) as e:
        embed_texts(MODEL, variables_of(), [SHORT[0], "new"], folder)
    assert str(e.value).endswith(
        f"put tokenizer.json, or vocab.json and merges.txt, of RoBERTa into {folder}/tokenizer"
    )


def test_vectors_of_another_tower_tokenizer_or_of_a_damaged_file_are_made_anew(folder, tmp_path):
    texts = SHORT[:2]
    first = embed_texts(MODEL, variables_of(), texts, folder)
    other = embed_texts(MODEL, variables_of(seed=1), texts, folder)
    assert np.abs(first - other).max() > 0.1
    np.testing.assert_array_equal(embed_texts(MODEL, variables_of(), texts, folder), first)
    assert kept(folder, tower_hash(MODEL, variables_of(seed=1))) == {}
    write_vocabulary(folder / "tokenizer", whole=True)
    assert kept(folder, tower_hash(MODEL, variables_of())) == {}
    np.testing.assert_array_equal(embed_texts(MODEL, variables_of(), texts, folder), first)
    whole = (folder / PROMPTS).read_bytes()
    for content in (b"", whole[:100], b"text"):
        (folder / PROMPTS).write_bytes(content)
        np.testing.assert_array_equal(embed_texts(MODEL, variables_of(), texts, folder), first)
    assert (folder / PROMPTS).read_bytes() == whole and [p.name for p in folder.glob(f"{PROMPTS}*")] == [PROMPTS]


def test_a_tokenizer_of_a_larger_vocabulary_is_refused(folder):
    config = MODEL.config.replace(text={**MODEL.config.text, "vocabulary": 300})
    with pytest.raises(ValueError, match=r"numbers 338 tokens, but the text tower has 300; expected the one"):
        embed_texts(MODEL._replace(config=config), variables_of(), ["rain"], folder)


def test_a_folder_that_cannot_be_written_to_costs_only_the_keeping(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clap_prompts, "write_atomically", full)
    said = []
    assert embed_texts(MODEL, variables_of(), ["rain"], folder, said.append).shape == (1, 16)
    assert said == [
        f"note: {folder / PROMPTS} cannot be written (No space left on device); the next run embeds its sentences anew"
    ]


def test_damaged_weights_are_said():
    broken = {"params": {"text": jax.tree.map(np.zeros_like, variables_of()["params"]["text"])}}
    with pytest.raises(ValueError, match="gives vectors that are not finite or all zero"):
        embed_tokens(MODEL, broken, [(0, 5, 2)])


@pytest.mark.slow
def test_few_programs_are_compiled(monkeypatch):
    shapes = []
    model = MODEL._replace(
        text=lambda variables, ids, mask: shapes.append(ids.shape) or MODEL.text(variables, ids, mask)
    )
    rows = [(0, *range(5, 5 + length), 2) for length in (3, 4, 5, 9, 3, 40)] * 20
    assert embed_tokens(model, variables_of(), rows).shape == (120, 16)
    assert sorted(shapes) == [(16, 8), (32, 16), (32, 77), (64, 8)]

"""Small copies of sets of spoken words and of noises, and what their listings say, for the tests of these sets."""

import shutil
from pathlib import Path

from dhauds_jax.data import sets
from tests.data.fakes import speech


def copies_in(tmp_path_factory):
    """name -> (folder, clips per split), each maker run once."""
    made = {}

    def copy(name):
        maker = speech.FAKES[name]
        key = str(getattr(maker, "func", maker)) + str(getattr(maker, "keywords", ""))
        if key not in made:
            folder = tmp_path_factory.mktemp("copy")
            made[key] = (folder, maker(folder))
        return made[key]

    return copy


def fresh(copies, name, tmp_path):
    """A copy that a test may spoil."""
    return Path(shutil.copytree(copies(name)[0], tmp_path / "copy"))


def listed(name, data_dir, split, allow_partial=False):
    refs, notices = sets.get(name).listing(data_dir, split, allow_partial)
    return refs, notices


def labels_of(name, data_dir, split):
    data = sets.get(name, data_dir)
    return {ref.id: data.classes[ref.label] for ref in listed(name, data_dir, split)[0]}

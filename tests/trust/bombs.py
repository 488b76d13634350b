"""Files that make a marker where Python's own unpickler reads them."""

import io
import pickle
import zipfile

import numpy as np


class Bomb:
    """Pickled, a call that makes a folder."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        import os

        return os.mkdir, (self.marker,)


def as_pickle(marker):
    return pickle.dumps(Bomb(marker), protocol=2)


def as_torch(marker):
    """The zip layout of `torch.save`, its one pickle the bomb."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("bomb/data.pkl", as_pickle(marker))
        archive.writestr("bomb/version", "3\n")
    return stream.getvalue()


def as_npy(marker):
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(marker)], object), allow_pickle=True)
    return stream.getvalue()


def as_npz(marker, names):
    stream = io.BytesIO()
    np.savez(stream, **{name: np.array([Bomb(marker)], object) for name in names})
    return stream.getvalue()

"""A command whose work folder goes at the moment in which a state is saved there: `python -m ... FOLDER`."""

import os
import shutil
import sys
from pathlib import Path

from dhauds_jax.command import app

FOLDER, sys.argv[1:] = Path(sys.argv[1]), []  # it is no flag


def main() -> str:
    import jax.numpy as jnp

    from dhauds_jax.workdir.saver import Saver

    mkdir = os.mkdir

    def after_it_went(path, *args, **kwargs):
        if "orbax-checkpoint-tmp" in str(path):
            shutil.rmtree(FOLDER)
        mkdir(path, *args, **kwargs)

    os.mkdir = after_it_went
    Saver(FOLDER / "state", 0.0).save({"a": jnp.arange(3.0)}, {"position": 1})
    return "never said"


if __name__ == "__main__":
    app.run(main)

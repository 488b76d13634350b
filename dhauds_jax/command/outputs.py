"""Whether what a command will write can be written, said before its work."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from dhauds_jax import files


def check(*names: str, file: bool = False, values: flags.FlagValues = flags.FLAGS) -> None:
    """Tries the folders that flags name, where they are given; what holds a lock on its folder needs no call.

    What killed commands of this host left in them under temporary names is removed.

    Args:
      names: flags.
      file: whether they name files.
      values: the flags.

    Raises:
      BadInput: one cannot be made or written to, in a sentence that names its flag.
    """
    for name in names:
        if values[name].value:
            place = Path(values[name].value)
            (files.check_file if file else files.check_folder)(place, name)
            files.remove_left(place)

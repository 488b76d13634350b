"""What a training is asked for, with what its profile and its data set stand for filled in."""

from __future__ import annotations

from dhauds_jax.data.corruptions import is_own
from dhauds_jax.errors import BadInput
from dhauds_jax.names import PROFILES
from dhauds_jax.train.request import TrainRun

OWN = "folder"
"""The data set of a user's own recordings, which has no published recipe."""


def settled(run: TrainRun, selection: str | None = None, time_flip: bool | None = None) -> TrainRun:
    """The run with the options that its profile stands for, where they are still those of profile reference.

    Args:
      run: the request; without a profile it has corrected for a folder of one's own, else reference.
      selection: what was asked for expressly, whatever the profile. None: the profile's; a `selection` of the options
        that is not "last" stays.
      time_flip: what was asked for expressly; None: the profile's.

    Raises:
      BadInput: an unknown profile.
    """
    if run.profile is None:
        run = run.replace(profile="corrected" if run.dataset == OWN else "reference")
    if run.profile not in PROFILES:
        raise BadInput(f"--profile={run.profile}: expected {' or '.join(PROFILES)}")
    if run.profile == "reference" or not run.options.first_epoch_plain:
        return run
    own = "best_validation" if run.options.selection == "last" else run.options.selection
    mended = {"first_epoch_plain": False, "crop_last_start": True, "nesterov": True}
    mended |= {"selection": selection or own, "time_flip": bool(time_flip)}
    return run.replace(options=run.options.replace(**mended))


def without_noise(run: TrainRun) -> TrainRun:
    """A settled run whose views need no noise recording, where it is of one's own recordings and there is none.

    The noise of the default view is 50 dB below the clips, so that the clip as it is comes nearest to it.
    """
    own = run.dataset == OWN and run.profile == "corrected" and "noise" in run.options.views
    if not own or run.noise_dir or is_own(run.train_noise):
        return run
    views = tuple("clean" if view == "noise" else view for view in run.options.views)
    print(
        f"note: without --noise_dir nothing is mixed into the clips: --views={','.join(views)} in place of "
        f"{','.join(run.options.views)}"
    )
    return run.replace(options=run.options.replace(views=views))

"""Options of a learner that a profile sets where they are not given."""

from __future__ import annotations

from collections.abc import Mapping

from dhauds_jax.errors import BadInput
from dhauds_jax.names import PROFILES

BY_PROFILE = "profile"
"""The value of an option that its profile sets."""


def by_profile(learner: str, profile: str, given: Mapping[str, str], choices: Mapping[str, tuple[str, str]]) -> dict:
    """The options, those that are `BY_PROFILE` set by the profile.

    Args:
      learner: its name, for the sentence.
      profile: of `names.PROFILES`.
      given: option -> text.
      choices: option -> its value in profile reference and in profile corrected; these two are all it may be.

    Raises:
      BadInput: an unknown profile or value.
    """
    if profile not in PROFILES:
        raise BadInput(f"learner {learner}: profile is {profile!r}, expected {' or '.join(PROFILES)}")
    found = {}
    for name, values in choices.items():
        chosen = values[PROFILES.index(profile)] if given[name] == BY_PROFILE else given[name]
        if chosen not in values:
            raise BadInput(f"learner {learner}: option {name} is {chosen!r}, expected {' or '.join(values)}")
        found[name] = chosen
    return found

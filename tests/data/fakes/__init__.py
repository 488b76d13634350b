"""Makers of small copies of every data set in its true layout: `FAKES[name](folder)` returns the clips per split."""

from tests.data.fakes import environmental, few_shot, home, scenes, speech

FAKES = {**speech.FAKES, **environmental.FAKES, **scenes.FAKES, **home.FAKES, **few_shot.FAKES}

"""The one exception that is the user's to mend."""

from __future__ import annotations


class BadInput(ValueError):
    """Input that its user can mend: an unknown name, a missing folder, a broken file, options that do not go together.

    Its text is one sentence: what was found (and in which file or flag), what was expected, what to do. Commands print
    that sentence and end with code 2. Every other exception, a bare `ValueError` of a library included, is a bug, shows
    its traceback and ends with code 1.
    """

"""Learning new classes from a few clips, session after session: arrays in, arrays out."""

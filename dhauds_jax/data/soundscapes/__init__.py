"""Soundscapes: one event over one background, mixed as Scaper does, drawn by (seed, file), written, replayed."""

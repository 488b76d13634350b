"""A small copy of the Tomofun challenge's layout."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.data.sets import tomofun as challenge
from tests.data.fakes.audio import write_clip


def tomofun(folder: Path) -> dict[str, int]:
    """A clip of each sub-class, the first two at 8 kHz, with a manifest; two recordings."""
    lines = [",".join((*challenge.MANIFESTS["manifest.csv"], challenge.GROUP))]
    for label, name in enumerate(challenge.CLASSES):
        write_clip(folder / "raw" / f"{name}.wav", label, rate=8_000 if label < 2 else 16_000, seconds=0.2)
        lines.append(f"raw/{name}.wav,{challenge.GROUPS['of'][label]},{name},recording{label % 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return {"all": len(challenge.CLASSES)}


FAKES = {"tomofun": tomofun}

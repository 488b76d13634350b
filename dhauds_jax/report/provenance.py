"""Where the numbers of a report come from: commands, code, versions, devices, source weights, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dhauds_jax.report.tables import Record, grouped
from dhauds_jax.wording import counted


def code_said(found: Sequence[Record]) -> str:
    """Which states of the rooms that numbers follow from made the records, the most frequent first; "" of older ones.

    A revision changes with every sentence of a page; the digest `code` of a record with what computes alone.
    """
    counts = Counter(record["code"] for record in found if record.get("code"))
    if not counts:
        return ""
    told = ", ".join(f"`{code}`" + (f" ({count})" if len(counts) > 1 else "") for code, count in counts.most_common())
    older = len(found) - counts.total()
    others = f"; {counted(older, 'record')} before there was one" if older else ""
    return f"digest of the code that computes: {told}{others}"


def provenance(found: Sequence[Record]) -> str:
    """Where the numbers come from: commands, versions, devices, source weights, settings."""
    lines = []
    for title, key in (
        ("commands", "command"),
        ("code", "git_revision"),
        ("device", "device"),
        ("source weights (SHA-256)", "source_checkpoint"),
        ("seeds", "seed"),
    ):
        values = list(dict.fromkeys(str(r[key]) for r in found))
        lines.append(f"- {title}: " + ", ".join(f"`{v[:400]}`" for v in values))
    if said := code_said(found):
        lines.append(f"- {said}")
    versions = list(dict.fromkeys(", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in found))
    lines.append("- versions: " + "; ".join(versions))
    lines.append(f"- peak memory: {max(r['peak_memory_mb'] for r in found):.0f} MiB")
    for (method,), group in grouped(found, ("method",)).items():
        own = {k: v for k, v in group[0]["options"].items() if not k.startswith("draw")}
        passes = group[0]["passes"]
        lines.append(
            f"- {method}: {group[0]['parameters_moved']:,} parameters moved, passes a clip {passes['forward']} forward "
            f"and {passes['backward']} backward; options {', '.join(f'{k}={v}' for k, v in own.items())}"
        )
    rows: dict[str, list[int]] = {}
    for record in found:
        if record.get("recipe"):
            rows.setdefault(record["recipe"]["name"], []).append(record["recipe"]["row"])
    for name, numbers in rows.items():
        lines.append(f"- recipe: {name}, rows {', '.join(map(str, sorted(set(numbers))))}")
    criteria = sorted({r["selection"]["criterion"] for r in found})
    lines.append(f"- label-free choice of the epoch: highest {', '.join(criteria)} (dhauds_jax/tta/selection.py)")
    return "\n".join(lines) + "\n"

"""How a file that holds CLAP's two towers becomes the checkpoint of an audio-text model: `--family=clap`.

Keys and shapes show the sizes, fusion of long clips and the mel bands; a Hugging Face folder's own files, `--preset`
and `--config` say the rest, in this order. Where one of them disagrees with the shapes the conversion stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from converters import clap, clap_text, huggingface_clap
from converters.families import Content, Family, Part, Planned, Request
from converters.mapping import prefixed, to_flax
from converters.read import Source
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_mel, clap_zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig

PART = "towers"
"""What the one source is called in maps and reports."""

SECTIONS = ("audio", "text", "projection")
UNSHOWN = {"audio": ("spec", "epsilon", "drop_path"), "text": ("heads", "epsilon"), "projection": ()}
"""Sizes that no shape shows for certain; all others must be those of the file."""

TABLE_TOLERANCE = 1e-6
"""How far the file's table of mel filters may be from ours; float32's rounding is 2e-9."""


def plan(request: Request) -> Planned:
    """Config and variables of the two towers, and the tokenizer's files beside them.

    Raises:
      BadInput: no text tower, sizes or a table of mel filters other than stated, keys that are left over or missing, or
        a tokenizer that is none or another model's.
    """
    file, part = request.files[0], request.parts[PART]
    _check_towers(file, part)
    config, notes = config_of(request)
    notes += _table_notes(file, part, config)
    merged = {f"{PART}/{key}": array for key, array in part.state.items()}
    model = clap_zoo.build_audio_text(config)
    expected = clap_zoo.shapes(model)
    converted = to_flax(merged, _leaves(config, part.style, ()), _ignore(config, part.style), expected, file.path.name)
    text, beside = clap_text.examined(model, converted.variables, request.tokenizer, file.path)
    return Planned(config, converted, {}, [*notes, *text], beside)


def _check_towers(file: Source, part: Part) -> None:
    """Raises `BadInput` where the sentence's half of the model is not there."""
    names = clap.STYLES[part.style]
    wanted = {
        "text tower": f"{names.text}embeddings.word_embeddings.weight",
        "projection of sentences": f"text_projection.{names.projections[0]}.weight",
        "projection of sounds": f"audio_projection.{names.projections[0]}.weight",
    }
    for what, key in wanted.items():
        if key not in part.state:
            raise BadInput(
                f"{file.path}: has no {what} ({key} is missing), expected a file that holds both of CLAP's towers, "
                "such as LAION's 630k-audioset-best.pt or a folder of Hugging Face's ClapModel"
            )


def config_of(request: Request) -> tuple[AudioTextConfig, list[str]]:
    """The record of the towers, and what to say of it.

    Raises:
      BadInput: what the file's own config, --preset or --config states is not what the shapes show.
    """
    file, part = request.files[0], request.parts[PART]
    shown = clap.inferred(part.state, part.style)
    record, fitting = shown.to_dict(), _fitting(shown)
    sure = {section: {key for key in record[section] if key not in UNSHOWN[section]} for section in SECTIONS}
    for origin, stated in _statements(request, fitting):
        _check_against(record, sure, stated, origin, fitting)
        for section in SECTIONS:
            record[section] |= stated.get(section, {})
            if origin == FOLDER:
                sure[section] |= {key for key in stated.get(section, {}) if key not in ASIDE}
    front_end, length = huggingface_clap.front_end_of(file) if part.style == "huggingface" else ({}, None)
    front_end = {**record["front_end"], **front_end, **request.given.get("front_end", {})}
    record |= {"front_end": front_end, "sample_rate": front_end["sample_rate"]}
    usual = record["length"] if fitting is None else clap_zoo.audio_text_preset(fitting).length
    record["length"] = request.given.get("length", length or usual)
    record["net"] = request.given.get("net") or _net(record, fitting)
    config = AudioTextConfig.from_dict(record, "--config")
    fused = "long clips are fused" if config.audio["fusion"] else "no fusion of long clips"
    step = "an int16 step" if front_end["quantise"] else "no int16 step"
    named = "sizes of no preset" if record["net"] == "custom" else f"sizes of {record['net']}"
    return config, [f"{named}, {fused}, {front_end['scale']} mel bands, {step}"]


NAMED = 4
"""Disagreements that a sentence names."""
FOLDER = "the source's config.json"
ASIDE = ("epsilon", "drop_path")
"""What a preset does not decide: its epsilons are LAION's, and the files' own hold."""


def _statements(request: Request, fitting: str | None) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
    """What is stated of the sizes, each with whose word it is: the preset that fits, the folder, --preset, --config."""
    file, name = request.files[0], request.preset or request.given.get("preset")
    if fitting is not None:
        yield f"preset {fitting}", _sizes(fitting)
    if request.parts[PART].style == "huggingface" and file.record is not None:
        yield FOLDER, huggingface_clap.towers_of(file)
    if name is not None:
        yield f"preset {name}", _sizes(name)
    given = {section: request.given.get(section, {}) for section in SECTIONS}
    for section, values in given.items():
        if not isinstance(values, Mapping):
            raise BadInput(f"--config: {section} is {values!r}, expected an object of sizes")
    yield "--config", given


def _sizes(preset: str) -> dict[str, dict[str, Any]]:
    """The sizes of a preset, without what is set aside."""
    record = clap_zoo.audio_text_preset(preset).to_dict()
    return {name: {key: value for key, value in record[name].items() if key not in ASIDE} for name in SECTIONS}


def _check_against(
    record: Mapping[str, Any],
    sure: Mapping[str, set[str]],
    stated: Mapping[str, Mapping[str, Any]],
    origin: str,
    fitting: str | None,
) -> None:
    """Raises `BadInput` where a statement is not what the shapes, or the folder before it, say; all of it is named."""
    problems = [
        f"{section}.{key} is {record[section][key]!r} by the file, {value!r} by {origin}"
        for section in SECTIONS
        for key, value in stated.get(section, {}).items()
        if key in sure[section] and _plain(value) != record[section][key]
    ]
    problems += [
        f"{section}.{key} in {origin} is none of {', '.join(record[section])}"
        for section in SECTIONS
        for key in stated.get(section, {})
        if key not in record[section]
    ]
    if problems:
        fits = f"the sizes are those of {fitting}" if fitting else "no preset has its sizes"
        more = [f"{len(problems) - NAMED} more"] if len(problems) > NAMED else []
        raise BadInput(f"conversion: {'; '.join([*problems[:NAMED], *more])}; {fits}")


def _fitting(shown: AudioTextConfig) -> str | None:
    """The preset of the sizes that the shapes show, None where there is none."""
    sizes = shown.to_dict()
    for name, preset in clap_zoo.PRESETS.items():
        other = preset.to_dict()
        if all(
            sizes[section][key] == other[section][key]
            for section in SECTIONS
            for key in sizes[section]
            if key not in UNSHOWN[section]
        ):
            return name
    return None


def _net(record: Mapping[str, Any], fitting: str | None) -> str:
    """The preset's name where all its sizes are those of the record."""
    if fitting is None:
        return "custom"
    same = all(record[name][key] == value for name, sizes in _sizes(fitting).items() for key, value in sizes.items())
    return fitting if same else "custom"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _table_notes(file: Source, part: Part, config: AudioTextConfig) -> list[str]:
    """What to say of the file's own table of mel filters, which a net without fusion hears through.

    Raises:
      BadInput: it is another table than the front end's.
    """
    table = part.state.get(clap.MEL_TABLE)
    if table is None or config.audio["fusion"] is not None:
        return []
    ours = clap_mel.filters(config.front_end)
    apart = float(np.max(np.abs(ours - table))) if ours.shape == table.shape else np.inf
    own = np.finfo(table.dtype).eps if table.dtype == np.float16 else 0  # as half precision rounds it
    if apart > max(TABLE_TOLERANCE, own * float(np.max(np.abs(ours)))):
        told = f"is up to {apart:.2g} from" if np.isfinite(apart) else f"has the shape {table.shape}, unlike"
        bands = "{scale} bands, {f_min:g}-{f_max:g} Hz".format(**config.front_end)
        raise BadInput(
            f"{file.path}: its table of mel filters ({clap.MEL_TABLE}) {told} the front end's ({bands}), expected the "
            "same; give the file's own front_end in --config"
        )
    return [f"its table of mel filters is ours to {apart:.1g}"]


def _leaves(config: AudioTextConfig, style: str, held: tuple[str, ...]) -> list[Any]:
    return prefixed(clap.leaves(config, style), f"{PART}/")


def _ignore(config: AudioTextConfig, style: str) -> tuple[str, ...]:
    return tuple(f"{PART}/{pattern}" for pattern in clap.IGNORE[style])


FAMILY = Family(
    net="clap",
    files=(PART,),
    holds=(Content("CLAP's towers", clap.style_of),),
    geometry=(),
    infer=lambda part: {},
    leaves=_leaves,
    ignore=_ignore,
    fresh=lambda config, held: {},
    plan=plan,
    audio_text=True,
    settings=(*SECTIONS, "front_end", "length"),
)

"""What `experiments.check_data` prints, and the cache it prepares."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from dhauds_jax.data import sets
from dhauds_jax.data.checking import Report, check_copy
from dhauds_jax.data.sets import joined
from dhauds_jax.data.sets.base import draw_name
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.requests import JOIN
from dhauds_jax.runs.requests.check_data import CheckRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks


def check(run: CheckRun) -> tuple[str, bool]:
    """Checks a copy, prints its findings and prepares it if it can serve; returns a summary and whether it can.

    Of joined sets each is checked by itself, and all must serve.

    Raises:
      BadInput: an unknown set, or a folder of which no split can be listed.
    """
    if JOIN in run.dataset:
        sets.get(run.dataset, run.data_dir)
        texts, _ = joined.names_of(run.dataset)
        folders = joined.folders_of(run.dataset, run.data_dir)
        found = [check(run.replace(dataset=text, data_dir=where)) for text, where in zip(texts, folders)]
        return "\n".join(said for said, _ in found), all(serves for _, serves in found)
    if run.build:
        build(run)
    report = check_copy(run.dataset, run.data_dir, splits=run.split, allow_partial=run.allow_partial)
    for finding in report.findings:
        print(json.dumps(finding._asdict()) if run.json else finding)
    prepared = str(prepare(run)) if run.prepare and report.serves else None
    if run.json:
        return _as_json(report, prepared), report.serves
    return _as_text(report, run, prepared), report.serves


def build(run: CheckRun) -> None:
    """Makes the copy from the raw corpus and prints what is not as published.

    Raises:
      BadInput: a set that is not made from a raw corpus, or what its builder refuses.
    """
    dataset = sets.get(run.dataset)
    if dataset.build is None:
        raise BadInput(
            f"--build: {run.dataset} is not made from a raw corpus, expected librispeech_100, nsynth_100 or fsc_89; "
            "leave the flag out"
        )
    for notice in dataset.build(run.build, run.data_dir):
        print(f"note: {notice}", file=sys.stderr)


def prepare(run: CheckRun) -> Path:
    """Builds the set's TFDS cache (TFRecord files, clips whole at the set's own rate); returns its folder.

    Raises:
      BadInput: TensorFlow Datasets is not installed, or a file cannot be read.
    """
    try:
        from dhauds_jax.data.pipeline import builders
    except ImportError as error:
        raise BadInput(f"--prepare needs TensorFlow ({error}), expected: pip install 'dhauds_jax[data]'") from error
    dataset = sets.get(run.dataset, run.data_dir)
    variant = run.dataset.partition("/")[2]
    copy = builders.copy_digest(dataset, run.data_dir, run.allow_partial)
    name = "-".join(filter(None, (variant, "native", "partial" if run.allow_partial else "", copy)))
    config = builders.AudioConfig(name=name, variant=variant, allow_partial=run.allow_partial)
    with _quiet(builders.tfds):
        made = builders.builder_class(draw_name(dataset))(data_dir=run.prepare, config=config)
    manual = builders.tfds.download.DownloadConfig(manual_dir=str(Path(run.data_dir).resolve()))
    print(f"preparing {made.data_dir}", file=sys.stderr, flush=True)
    with locks.held(Path(made.data_dir).parent, flag="prepare"), _quiet(builders.tfds):
        for left in Path(made.data_dir).parent.glob("incomplete.*"):  # of a command that was killed
            shutil.rmtree(left, ignore_errors=True)
        made.download_and_prepare(download_config=manual)
    return Path(made.data_dir)


@contextlib.contextmanager
def _quiet(tfds: Any) -> Iterator[None]:
    """TFDS says nothing, as it would speak of downloads; its bars are for a terminal alone."""
    level = logging.get_verbosity()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logging.set_verbosity(level)


_SKIP = "note: other commands leave unreadable files out with --on_bad_file=skip"


def _kinds(report: Report) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in report.findings))


def _as_json(report: Report, prepared: str | None) -> str:
    summary = {"kind": "summary", **report._asdict(), "serves": report.serves, "prepared": prepared}
    return json.dumps({**summary, "published": dict(report.published), "findings": _kinds(report)})


def _as_text(report: Report, run: CheckRun, prepared: str | None) -> str:
    splits = []
    for split, count in report.clips.items():
        published = report.published.get(split)
        splits.append(f"{split} {count:,}" + ("" if published in (None, count) else f" of {published:,}"))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in _kinds(report).items()) or "nothing"
    length = f"{report.audio_seconds / 60:.1f} min of audio, {counted(report.quiet, 'file')} quieter than -60 dBFS"
    lines = [
        *(f"note: {notice}" for notice in report.notices),
        f"{report.dataset}: {counted(report.files, 'file')} ({', '.join(splits)}), {length}, "
        f"checked in {report.seconds:.0f} s",
        *([_SKIP] if "unreadable" in _kinds(report) else []),
        f"found: {kinds}",
        f"the copy {'can' if report.serves else 'cannot'} serve: {printable(run.data_dir)}",
    ]
    if run.prepare:
        lines.append(f"prepared: {prepared}" if prepared else "not prepared, as it cannot serve")
    return "\n".join(lines)

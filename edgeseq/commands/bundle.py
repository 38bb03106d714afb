"""`edgeseq keygen` and `edgeseq bundle`: make the signing key; show, verify and list bundles."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from edgeseq.adapters.interpreter import available_runtimes, probe
from edgeseq.bundle import Bundle, Channel, Manifest, TrustedKeys, read_bundle
from edgeseq.bundle.keys import KEY_FILE, announce_key, default_key_path, load_signing_key
from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from edgeseq.errors import EXIT_FAILED_CHECK, BundleError

MOST_COLUMNS = 12
"""Columns of the recording that are shown by name."""

_FILE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the key; default: $XDG_CONFIG_HOME/edgeseq.",
)
def keygen(folder: Path | None) -> None:
    """Make the key that signs bundles, or show the one that is there, and write its public half beside it."""
    path = folder / KEY_FILE if folder else default_key_path()
    is_new = not path.exists()
    click.echo(announce_key(load_signing_key(path), path, is_new=is_new))


@click.group()
def bundle() -> None:
    """Show, verify and list bundles."""


@bundle.command()
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print the whole manifest as JSON.")
def show(file: Path, *, as_json: bool) -> None:
    """Say what a bundle is. Its files are checked, its signature is not: see `edgeseq bundle verify`."""
    found = _read_intact(file)
    if as_json:
        text = msgspec.json.encode({**_identity(found), "manifest": found.manifest})
        click.echo(msgspec.json.format(text, indent=2))
        return
    for line in _description(found):
        click.echo(line)


@bundle.command()
@_FILE
@click.option(
    "--trusted",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of trusted *.pub files; default: the own signing key.",
)
@click.option("--runtime", "runtimes", multiple=True, help="Only on this runtime; may be repeated.")
@click.option("--allow-unsigned", is_flag=True, help="Accept a bundle without a signature.")
@_JSON
def verify(
    file: Path, trusted: Path | None, runtimes: tuple[str, ...], *, allow_unsigned: bool, as_json: bool
) -> int:
    """Verify signature and files, then run the golden roll-out of each variant on each runtime that is installed."""
    keys = TrustedKeys.from_dir(trusted) if trusted else _own_key()
    found = read_bundle(file, keys, allow_unsigned=allow_unsigned)
    if not as_json:
        click.echo(f"{file}: {found.manifest.label}, {_signature(found)}, {len(found.files)} files intact")
    outcomes = []
    for runtime, variant in _proofs(found, runtimes):
        outcomes.append(_prove(found, runtime, variant))
        if not as_json:
            click.echo(outcomes[-1])
    if not outcomes:
        raise BundleError(
            "no variant runs on the runtimes that are installed",
            where=str(file),
            found="; ".join(f"{v.name} on {', '.join(v.runtimes)}" for v in found.manifest.variants),
            wanted=" or ".join(runtimes or available_runtimes()),
            do="install a runtime that the bundle was proven on: pip install 'edgeseq[edge]'",
        )
    if as_json:
        click.echo(
            msgspec.json.encode({**_identity(found), "label": found.manifest.label, "proofs": outcomes})
        )
    return 0 if all(outcome.fault is None for outcome in outcomes) else EXIT_FAILED_CHECK


@bundle.command("list")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path())
@_JSON
def list_bundles(folder: Path, *, as_json: bool) -> int:
    """List the bundles of a folder. Exit code 1 if one is damaged."""
    paths = sorted(folder.glob("*.edgeseq"))
    if not paths and not as_json:
        click.echo(f"no *.edgeseq in {folder}")
    return EXIT_FAILED_CHECK if [path for path in paths if not _list_one(path, as_json=as_json)] else 0


# --- reading without trust: for eyes only ---------------------------------------------------------------------------


def _read_intact(path: Path) -> Bundle:
    """Read a bundle for display: complete and undamaged as `read_bundle` demands, whoever signed it."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        digest = ""  # read_bundle says what is wrong
    return read_bundle(path, TrustedKeys(), known_digest=digest)


def _own_key() -> TrustedKeys:
    path = default_key_path()
    return (
        TrustedKeys.of(load_signing_key(path, create=False).public_key()) if path.exists() else TrustedKeys()
    )


# --- proving --------------------------------------------------------------------------------------------------------


def _proofs(found: Bundle, wished: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Pair each runtime with the variants that are said to run on it. A wished runtime need not be installed."""
    for runtime in wished or available_runtimes():
        if runtime == "numpy":
            names = [variant.name for variant in found.manifest.variants if variant.name == "float32"]
        else:
            names = [variant.name for variant in found.manifest.variants if runtime in variant.runtimes]
        yield from ((runtime, name) for name in names)


class _Proof(msgspec.Struct, frozen=True):
    """What the golden roll-out of a variant has shown."""

    runtime: str
    variant: str
    share: float | None
    """Largest difference, as a share of its tolerance."""
    fault: str | None

    def __str__(self) -> str:
        if self.fault is None:
            return f"  {self.runtime:<8}{self.variant:<14}ok, differs by {self.share:.2g} of its tolerance"
        return f"  {self.runtime:<8}{self.variant:<14}FAILED\n    " + self.fault.replace("\n", "\n    ")


def _prove(found: Bundle, runtime: str, variant: str) -> _Proof:
    try:
        return _Proof(runtime, variant, float(probe(found, runtime, variant)), None)
    except BundleError as fault:
        return _Proof(runtime, variant, None, str(fault))


# --- text -----------------------------------------------------------------------------------------------------------


def _identity(found: Bundle) -> dict[str, Any]:
    return {"path": str(found.path), "sha256": found.digest, "key": found.key_id, "bytes": found.size_bytes}


def _signature(found: Bundle) -> str:
    return f"signed by {found.key_id}" if found.signed else "not signed"


def _description(found: Bundle) -> Iterator[str]:
    m = found.manifest
    forecast = m.channels[: len(m.channels) - m.covariates]
    facts = {
        "file": f"{found.path}, {found.size_bytes / 1e3:.0f} kB",
        "signature": f"{_signature(found)} (not checked here)" if found.signed else "none",
        "version": f"{m.version}, of readings until {m.created}",
        "channels": _named(forecast),
        **({"columns": _listed(m.columns)} if m.columns else {}),
        "period": f"{format_duration(m.period_ns)}, {m.aggregate}"
        + (" of the counter's increments" if m.kind == "counter" else ""),
        **_inputs(m),
        **_answer(m),
        "seasons": ", ".join(map(str, m.seasons)) or "none",
        "history": f"{m.ring} steps warm it up",
        "state": f"{sum(math.prod(s.shape) for s in m.state)} numbers a stream in {len(m.state)} arrays",
    }
    yield m.label
    yield from (f"  {name + ':':<11}{text}" for name, text in facts.items())
    yield f"  {'variant':<14}{'kB':>8}{'loss':>9}{'differs':>9}  runtimes"
    yield from _variant_lines(m)


def _named(channels: Sequence[Channel]) -> str:
    return ", ".join(c.name + (f" ({c.unit})" if c.unit else "") for c in channels)


def _listed(columns: Sequence[Channel]) -> str:
    """Name the columns of the recording with their units, the first ones of many."""
    more = len(columns) - MOST_COLUMNS
    return f"trained on {_named(columns[:MOST_COLUMNS])}{f' and {more} more' if more > 0 else ''}"


def _inputs(m: Manifest) -> dict[str, str]:
    """Say what a model takes beside its channels' past."""
    past = [c.name for c in m.channels[len(m.channels) - m.covariates :]]
    parts = [f"{', '.join(past)} (past)"] if past else []
    known = [c.name for c in m.inputs.covariates]
    parts += [f"{', '.join(known)} (future known)"] if known else []
    if calendar := m.inputs.calendar:
        holidays = f" with holidays of {calendar.holidays}" if calendar.holidays else ""
        end = format_instant(calendar.stop_s * 10**9)[:4]
        parts.append(f"calendar of {calendar.time_zone}{holidays} until {end}")
    return {"inputs": "; ".join(parts)} if parts else {}


def _answer(m: Manifest) -> dict[str, str]:
    """Say what a model gives: how far it forecasts, or what it estimates."""
    if m.target is None:
        horizon = f"{m.horizon} steps ({format_duration(m.horizon * m.period_ns)})"
        return {"horizon": horizon, "levels": ", ".join(map(str, m.levels))}
    if m.target.classes:
        return {"target": f"{m.target.name}, one of {', '.join(m.target.classes)}"}
    unit = f" ({m.target.unit})" if m.target.unit else ""
    return {"target": f"{m.target.name}{unit}", "levels": ", ".join(map(str, m.levels))}


def _variant_lines(m: Manifest) -> Iterator[str]:
    """Give the variants as a table: pinball loss in seasonal-naive errors, largest difference in running scales."""
    for v in m.variants:
        mark = " (default)" if v.name == m.default_variant else ""
        numbers = f"{v.bytes / 1e3:>8.1f}{v.loss:>9.4f}{v.max_difference:>9.2g}"
        yield f"  {v.name:<14}{numbers}  {', '.join(v.runtimes) or 'none'}{mark}"


def _list_one(path: Path, *, as_json: bool) -> bool:
    try:
        found = _read_intact(path)
    except BundleError as fault:
        told = msgspec.json.encode({"path": str(path), "fault": fault.what}).decode()
        click.echo(told if as_json else f"{path.name}: {fault.what}")
        return False
    m = found.manifest
    if as_json:
        facts = {"label": m.label, "version": m.version, "channels": [c.name for c in m.channels]}
        steps = {"period_s": m.period_ns / 1e9, "horizon": m.horizon, "target": m.target and m.target.name}
        click.echo(msgspec.json.encode({**_identity(found), **facts, **steps, "fault": None}))
        return True
    channels = f"{len(m.channels)} channel{'s' if len(m.channels) > 1 else ''}"
    ahead = (
        f"{format_duration(m.horizon * m.period_ns)} ahead" if m.target is None else f"for {m.target.name}"
    )
    span = f"every {format_duration(m.period_ns)}, {ahead}"
    click.echo(f"{path.name}: {m.label}, version {m.version}, {channels}, {span}, {_signature(found)}")
    return True

"""`edgeseq doctor`: look over an installation."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from edgeseq.commands.config_option import config_option
from edgeseq.errors import EXIT_FAILED_CHECK, EXIT_OK


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one finding a line.")
def doctor(path: Path, *, as_json: bool) -> int:
    """Check broker, clock, disk, permissions, bundles and streams, and say what to change.

    The daemon may run meanwhile. Some 1,200 short messages go to <prefix>/<node>/bridge/doctor, to see what the broker
    keeps. Exit code 0: no check failed, though some may warn; 1: a check failed.
    """
    from edgeseq.doctor import examine

    counts = {"ok": 0, "warn": 0, "fail": 0}
    for finding in examine(path):
        counts[finding.verdict] += 1
        click.echo(msgspec.json.encode(finding) if as_json else str(finding))
    if not as_json:
        click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return EXIT_FAILED_CHECK if counts["fail"] else EXIT_OK

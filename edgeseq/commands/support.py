"""`edgeseq support`: pack what somebody who helps needs to know, and nothing that must stay here."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path

import click

from edgeseq.commands.config_option import config_option
from edgeseq.errors import InputError

FOLDER = "edgeseq-support"


@click.command()
@config_option
@click.option(
    "--log",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A log whose end is added, such as `journalctl -u edgeseq -o cat >edgeseq.log` writes it.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("edgeseq-support.tar.gz"), show_default=True,
    help="The file to write; it must not be there.",
)  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask neither doctor nor broker.")
@click.option("--with-readings", is_flag=True, help="Add journal and snapshot, which hold your readings.")
def support(path: Path, log: Path | None, output: Path, *, offline: bool, with_readings: bool) -> None:
    """Pack version, configuration, doctor's findings, health, and sizes of the state into a file to send.

    Passwords and keys are masked wherever they stand, comments of the configuration are left out. Readings are not in
    it unless asked for; names of topics and streams are. Look into it before you send it: tar xzf, all of it is text.
    """
    from edgeseq.commands.support_parts import collect

    parts = collect(path, log, is_examined=not offline, with_readings=with_readings)
    write(output, parts)
    click.echo(f"wrote {output}: {', '.join(parts)}")


def write(output: Path, parts: dict[str, bytes]) -> None:
    """Write the archive, readable by its owner only. Raises InputError where a file is there already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(output, flags, 0o600)
    except OSError as fault:
        raise InputError(
            "the support bundle cannot be written", where=str(output), found=fault.strerror,
            wanted="a new file", do="give another name with -o",
        ) from fault  # fmt: skip
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(content))

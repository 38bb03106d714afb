"""Which kind of recording a file is: told by its first bytes, whatever it is called."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Literal, cast

from edgeseq.errors import InputError

Kind = Literal["csv", "parquet", "sqlite", "lines"]

HEAD_BYTES = 65_536
GZIP = b"\x1f\x8b"
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
WANTED = "CSV (also .gz), Parquet, InfluxDB line protocol (also .gz), home-assistant_v2.db, or a folder of such files"

_LINE = re.compile(r"(?:[^\s,\\#]|\\.)(?:[^ \\]|\\.)* (?:[^ =\\]|\\.)+=.* -?[0-9]{9,19}\s*")
"""measurement,tags fields timestamp"""
_FIELD = r'(?:[^ =,\\]|\\.)+=(?:"[^"]*"|[^, ]+)'
_TIMELESS = re.compile(rf"(?:[^\s,\\#]|\\.)(?:[^ \\]|\\.)* {_FIELD}(?:,{_FIELD})*\s*")
"""The same without a timestamp, which no recording can do without."""
_AROUND_LINES = ("#", "CREATE ")
"""What exports write before the points."""


def kind_of(path: Path) -> Kind | None:
    """Tell the kind of a file, or None where it is none that is read.

    Raises:
        InputError: the file cannot be read.
    """
    head = read_head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    text = decoded(head)
    if text is None or text.lstrip()[:1] in ("{", "["):
        return None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_AROUND_LINES)]
    if lines and (_LINE.fullmatch(lines[0]) or is_timeless(lines[0])):
        return "lines"
    return "csv" if is_table(text.splitlines()[:2]) else None


def is_timeless(line: str) -> bool:
    r"""Tell a point of the line protocol without a time.

    >>> is_timeless("weather,room=hall temperature=21.5"), is_timeless("time,a b"), is_timeless("a b=1 1772359200")
    (True, False, False)
    """
    return bool(_TIMELESS.fullmatch(line))


def is_table(lines: Sequence[str]) -> bool:
    """Tell a header and its first row from prose: as many cells, or one more where R numbers the rows.

    >>> is_table(["time,a", "0,1"]), is_table(["MIT License", ""]), is_table(["a, b and c", "d"])
    (True, False, False)
    """
    if not lines:
        return False
    names, *rows = cells_of(lines)
    return len(names) > 1 and all(0 <= len(row) - len(names) <= 1 for row in rows)


def separator_of(header: str) -> str:
    """Take the separator that a header has most of."""
    return max(SEPARATORS, key=header.count)


def cells_of(lines: Iterable[str]) -> list[list[str]]:
    """Split lines into cells, at the separator of the first."""
    lines = list(lines)
    return list(csv.reader(lines, delimiter=separator_of(lines[0])))


def read_head(path: Path) -> bytes:
    """Read the first bytes, unpacked.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with opened(path) as file:
            return file.read(HEAD_BYTES)
    except (OSError, EOFError) as error:
        raise unreadable(path, error) from error


def opened(path: Path) -> IO[bytes]:
    """Open a file that may be gzipped."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def decoded(head: bytes) -> str | None:
    """Decode the head of a text file; None where it is none."""
    encoding = encoding_of(head)
    return None if encoding is None else head.decode(encoding, "replace")


def encoding_of(head: bytes) -> str | None:
    r"""Tell a text's encoding by its first bytes; None where it is no text.

    >>> encoding_of("time,°C".encode()), encoding_of("time,°C".encode("cp1252")), encoding_of(b"PK\x03\x04\x00")
    ('utf-8-sig', 'cp1252', None)
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        return None
    try:
        # The end may be cut within a character.
        head[: len(head) - 4 * (len(head) == HEAD_BYTES)].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "utf-8-sig" if error.reason == "unexpected end of data" else "cp1252"
    return "utf-8-sig"


def unreadable(path: Path, error: Exception) -> InputError:
    """Say that a file cannot be read."""
    return InputError(
        "the recording cannot be read",
        where=str(path),
        found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
        wanted=WANTED,
        do="check the path and the file",
    )


def unknown(path: Path) -> InputError:
    """Say that a file is of no kind that is read."""
    head = read_head(path)
    if head.startswith(b"PK\x03\x04"):
        found, do = "a ZIP archive, as spreadsheets are", "save the table as CSV, or unpack the archive"
    elif head.lstrip()[:1] in (b"{", b"["):
        found = "JSON"
        do = (
            "write it as CSV; messages recorded from a broker are for edgeseq replay, and `edgeseq record --input FILE"
            " --config edgeseq.toml -o readings.csv.gz` makes readings of them"
        )
    elif not head:
        found, do = "an empty file", "check how it was exported"
    elif (text := decoded(head)) is not None:
        found = f"text, but no header with rows of as many cells: {text[:60]!r}"
        do = "begin a CSV with the names of its columns, with commas, semicolons, tabs or bars between"
    else:
        found, do = f"a file that begins with {head[:16]!r}", "write it as CSV or Parquet"
    return InputError(
        "the kind of the recording is unknown", where=str(path), found=found, wanted=WANTED, do=do
    )

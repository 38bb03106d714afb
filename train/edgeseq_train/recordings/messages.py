"""What `edgeseq record` writes as Parquet: messages (topic, payload, received, retained), or readings (a row each)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from edgeseq.errors import InputError

Row = tuple[str, bytes, int, bool]
"""Topic, payload, time of arrival (ns), whether it was retained."""

SCHEMA = {"topic": pl.String, "payload": pl.Binary, "received": pl.Int64, "retained": pl.Boolean}
BATCH_ROWS = 100_000


def write(rows: Iterable[Row], path: Path) -> int:
    """Write messages, in parts so that memory stays small → how many."""
    rest, count = iter(rows), 0
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        parts: list[Path] = []
        while chunk := list(islice(rest, BATCH_ROWS)):
            parts.append(Path(folder, f"{len(parts)}.parquet"))
            pl.DataFrame(chunk, schema=SCHEMA, orient="row").write_parquet(parts[-1])
            count += len(chunk)
        whole = pl.scan_parquet(parts) if parts else pl.LazyFrame(schema=SCHEMA)
        whole.sink_parquet(path, compression="zstd")
    return count


def write_readings(table: Path, path: Path) -> None:
    """Write a CSV of time, series, value and unit as Parquet."""
    frame = pl.scan_csv(table, schema_overrides={"value": pl.Float64, "unit": pl.String})
    times = pl.col("time").str.to_datetime("%+", time_unit="ns", time_zone="UTC")
    frame.with_columns(times).sink_parquet(path, compression="zstd")


def read(path: Path) -> Iterator[Row]:
    """Read messages in their order.

    Raises:
        InputError: no Parquet, or none of messages.
    """
    try:
        frame = pl.scan_parquet(path)
        found = frame.collect_schema()
        if not SCHEMA.keys() <= found.keys():
            raise InputError(
                "the Parquet holds no messages",
                where=str(path),
                found=f"columns {', '.join(found)[:200]}",
                wanted=f"columns {', '.join(SCHEMA)}",
                do="edgeseq record writes such files; tables of readings are for edgeseq train",
            )
        at = 0
        while len(part := frame.select(*SCHEMA).slice(at, BATCH_ROWS).cast(SCHEMA).collect()):  # type: ignore[arg-type]
            yield from part.iter_rows()
            at += len(part)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            "the recording cannot be read", where=str(path), found=str(error).splitlines()[0][:200]
        ) from error

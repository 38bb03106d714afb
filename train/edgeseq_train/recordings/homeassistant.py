"""Home Assistant's own database: states of its entities, and the hourly statistics that it keeps for ever.

Tables as the recorder of Home Assistant 2023.4 and later writes them (homeassistant/components/recorder/db_schema.py):
states (metadata_id, state, last_updated_ts, attributes_id), states_meta, state_attributes (shared_attrs, JSON);
statistics (metadata_id, start_ts, mean, min, max), statistics_meta. Times are seconds since 1970, in UTC.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.instants import format_instant
from edgeseq.errors import InputError
from edgeseq_train.recordings.choose import MOST_LISTED
from edgeseq_train.recordings.numbers import to_numbers
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Candidate, Loaded, Series, make_series
from edgeseq_train.recordings.tables import Table

HOUR_NS = 3600 * 10**9
STATISTICS = ("mean", "min", "max")
WANTED_COLUMNS = {
    "states": {"metadata_id", "state", "last_updated_ts", "attributes_id"},
    "states_meta": {"metadata_id", "entity_id"},
    "state_attributes": {"attributes_id", "shared_attrs"},
    "statistics": {"metadata_id", "start_ts", *STATISTICS},
    "statistics_meta": {"id", "statistic_id", "unit_of_measurement"},
}
BATCH_ROWS = 200_000
MUCH_S = 7 * 86_400
"""Statistics that begin so much earlier than states are worth a line."""
WAIT_S = 5.0
"""For another process to let go of the database."""

_STATES = """
SELECT last_updated_ts AS ts, state, attributes_id FROM states
WHERE metadata_id = ? AND last_updated_ts >= ? AND last_updated_ts < ? ORDER BY last_updated_ts, state_id
"""
_UNITS = """
SELECT attributes_id, CASE WHEN json_valid(shared_attrs) THEN json_extract(shared_attrs, '$.unit_of_measurement') END
AS unit FROM state_attributes
WHERE attributes_id IN (SELECT DISTINCT attributes_id FROM states WHERE metadata_id = ?)
"""
_STATISTICS = """
SELECT start_ts AS ts, mean, min, max FROM statistics
WHERE metadata_id = ? AND start_ts >= ? AND start_ts < ? ORDER BY start_ts
"""
_COUNTS = {
    _STATES: "SELECT COUNT(*) FROM states WHERE metadata_id = ?",
    _STATISTICS: "SELECT COUNT(*) FROM statistics WHERE metadata_id = ?",
}
_ENTITIES = """
SELECT m.entity_id AS name, m.metadata_id AS states,
  (SELECT MIN(last_updated_ts) FROM states s WHERE s.metadata_id = m.metadata_id) AS states_since
FROM states_meta m WHERE m.entity_id IS NOT NULL
"""
_KEPT = """
SELECT m.statistic_id AS name, m.id AS statistics, m.unit_of_measurement AS unit,
  (SELECT MIN(start_ts) FROM statistics s WHERE s.metadata_id = m.id AND s.mean IS NOT NULL) AS statistics_since
FROM statistics_meta m WHERE m.statistic_id IS NOT NULL
"""


def candidates_of(path: Path, request: Request) -> list[Candidate]:
    """List the entities of a database.

    Raises:
        InputError: it cannot be read, is no such database or of an older version, or no entity is named.
    """
    with _open(path) as database:
        _check_schema(database, path)
        entities = _entities(database)
    if not request.columns:
        raise _unnamed(path, entities)
    sources = [_Source(path, request, _Entity(**row)) for row in entities.to_dicts()]
    return [Candidate(source.entity.name, "", str(path), source.load) for source in sources]


@dataclass(frozen=True, slots=True)
class _Entity:
    """What the database knows of an entity; first times in s, None where there is nothing."""

    name: str
    states: int | None
    states_since: float | None
    statistics: int | None
    unit: str | None
    statistics_since: float | None


def _entities(database: sqlite3.Connection) -> pl.DataFrame:
    """List the fields of `_Entity`."""
    types = {
        "name": pl.String, "states": pl.Int64, "states_since": pl.Float64, "statistics": pl.Int64, "unit": pl.String,
        "statistics_since": pl.Float64,
    }  # fmt: skip
    states, kept = (pl.read_database(query, database, schema_overrides=types) for query in (_ENTITIES, _KEPT))
    return states.join(kept, on="name", how="full", coalesce=True).sort("name")


def _unnamed(path: Path, entities: pl.DataFrame) -> InputError:
    """Ask for names; those with statistics are measured in numbers."""
    measured = entities.filter(pl.col("statistics").is_not_null())
    names = (measured if len(measured) else entities).head(MOST_LISTED)
    shown = [f"{name} ({unit})" if unit else name for name, unit in names.select("name", "unit").iter_rows()]
    return InputError(
        "which entities are meant?",
        where=str(path),
        found=f"{len(entities)} entities, {len(measured)} with statistics: {', '.join(shown)}"
        + (" …" if len(names) < max(len(measured), 1) else ""),
        wanted="entities to train on",
        do="--columns with their names or patterns, such as --columns 'sensor.*_temperature'",
    )


# --- one entity -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    request: Request
    entity: _Entity

    @property
    def where(self) -> str:
        """Name it in errors."""
        return f"{self.path}: {self.entity.name}"

    def load(self) -> Loaded:
        """Read statistics where they are asked for, or are what the device would compute from readings; else states."""
        column = _statistic(self.request)
        if column and self.request.statistics is not False and self.entity.statistics_since is not None:
            return self._load_statistics(column)
        if self.request.statistics:
            raise self._no_statistics()
        return self._load_states()

    def _no_statistics(self) -> InputError:
        kept = self.entity.statistics_since is not None
        return InputError(
            f"there are no statistics to train {self.entity.name} on",
            where=str(self.path),
            found=f"aggregate {self.request.aggregate}, a period of {self.request.period_ns / HOUR_NS:g} h, "
            + ("statistics of whole hours" if kept else "no statistics of this entity"),
            wanted="aggregate mean, min or max over whole hours" if kept else "an entity that has statistics",
            do="--aggregate mean and a period of whole hours, no counter, or --states"
            if kept
            else "--states",
        )

    def _load_statistics(self, column: str) -> Series:
        entity = self.entity
        types = dict.fromkeys(STATISTICS, pl.Float64)
        frame = self._read(_STATISTICS, entity.statistics, types)
        self.request.say(f"{entity.name}: hourly statistics ({column})")
        units = pl.repeat(entity.unit, len(frame), dtype=pl.String, eager=True)
        values = frame[column].fill_null(np.nan).to_numpy()
        return make_series(self.request, entity.name, "", _to_ns(frame["ts"]), values, self.where, units)

    def _load_states(self) -> Loaded:
        name, request = self.entity.name, self.request
        frame = self._read(_STATES, self.entity.states, {"state": pl.String, "attributes_id": pl.Int64})
        numbers = to_numbers(frame["state"], Table(frame, self.where), "state")
        if isinstance(numbers, str):
            return numbers if len(frame) else "no states"
        if numbers.told:
            request.say(f"{name}: left out {numbers.told}")
        self._tell_statistics()
        with _open(self.path) as database:
            known = pl.read_database(
                _UNITS, database, execute_options={"parameters": [self.entity.states]},
                schema_overrides={"attributes_id": pl.Int64, "unit": pl.String},
            )  # fmt: skip
        units = frame.join(known, on="attributes_id", how="left", maintain_order="left")["unit"]
        return make_series(request, name, "", _to_ns(frame["ts"]), numbers.values, self.where, units)

    def _tell_statistics(self) -> None:
        """Point to statistics that go much further back than states do."""
        since, states_since = self.entity.statistics_since, self.entity.states_since
        if self.request.statistics is not None or since is None or states_since is None:
            return
        if self.request.kind == "counter":
            return
        if states_since - since > MUCH_S:
            self.request.say(
                f"{self.entity.name}: states since {_iso(states_since)}, hourly statistics since {_iso(since)}:"
                " --aggregate mean and a period of whole hours train on them"
            )

    def _read(self, query: str, key: int | None, types: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
        """Read the rows of the time asked for, in batches; the cut to the ns comes later."""
        since_ns, until_ns = self.request.since_ns, self.request.until_ns
        first_s = -math.inf if since_ns is None else since_ns / 1e9 - 1
        last_s = math.inf if until_ns is None else until_ns / 1e9 + 1
        types = {"ts": pl.Float64, **types}
        frames, rows = [pl.DataFrame(schema=types)], 0
        with _open(self.path) as database:
            (total,) = database.execute(_COUNTS[query], [key]).fetchone()
            for frame in pl.read_database(
                query, database, iter_batches=True, batch_size=BATCH_ROWS, schema_overrides=types,
                execute_options={"parameters": [key, first_s, last_s]},
            ):  # fmt: skip
                frames.append(frame)
                rows += len(frame)
                self.request.progress(f"{self.entity.name}: {rows:,} of {total:,} rows", rows / max(total, 1))
        return pl.concat(frames).drop_nulls("ts")


def _statistic(request: Request) -> str | None:
    """Name the statistic that is what the device would compute from readings, or None."""
    fits = request.aggregate in STATISTICS and request.period_ns % HOUR_NS == 0 and request.kind != "counter"
    return request.aggregate if fits else None


def _iso(seconds: float) -> str:
    return format_instant(int(seconds) * 10**9)


def _to_ns(seconds: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Convert to ns, to the µs: float64 holds no more."""
    us: np.ndarray[tuple[int], np.dtype[np.int64]] = np.round(seconds.to_numpy() * 1e6).astype(np.int64)
    return us * 1000


# --- the database -----------------------------------------------------------------------------------------------


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open read-only and say what is wrong with a database that cannot be read."""
    database = None
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT_S)
        yield database
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    finally:
        if database is not None:
            database.close()


def _unreadable(path: Path, error: sqlite3.Error) -> InputError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return InputError(
            "the database is locked",
            where=str(path),
            found=f"another process holds it for more than {WAIT_S:g} s ({text})",
            wanted="a database that nobody writes exclusively",
            do="stop Home Assistant meanwhile, or read a copy (copy the -wal file with it), such as that of a backup",
        )
    return InputError(
        "the database cannot be read",
        where=str(path),
        found=text,
        wanted="a whole home-assistant_v2.db",
        do="copy it while Home Assistant is stopped (with its -wal file), or `sqlite3 FILE .recover` into a new one",
    )


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    have = {
        table: {row[1] for row in database.execute(f"PRAGMA table_info({table})")} for table in WANTED_COLUMNS
    }
    lacking = [
        f"{table}.{column}"
        for table, columns in WANTED_COLUMNS.items()
        for column in sorted(columns - have[table])
    ]
    if not lacking:
        return
    if not have["states"]:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        raise InputError(
            "no database of Home Assistant",
            where=str(path),
            found=f"tables: {', '.join(tables)[:200] or 'none'}",
            wanted="home-assistant_v2.db with tables states and statistics",
            do="write the table that is meant as CSV",
        )
    version = _schema_version(database)
    raise InputError(
        "the database is of another version of Home Assistant",
        where=str(path),
        found=f"schema {version or 'unknown'}, without {', '.join(lacking[:4])}{' …' if len(lacking) > 4 else ''}",
        wanted="schema 38 or later (Home Assistant 2023.4)",
        do="let a current Home Assistant start with a copy of it once, which brings it up to date",
    )


def _schema_version(database: sqlite3.Connection) -> int | None:
    if not database.execute("PRAGMA table_info(schema_changes)").fetchall():
        return None
    version = database.execute("SELECT MAX(schema_version) FROM schema_changes").fetchone()[0]
    return None if version is None else int(version)

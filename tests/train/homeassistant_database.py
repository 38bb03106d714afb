"""Write a database as the recorder of Home Assistant does: its schema 43, columns that are not read too."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

SCHEMA = """
CREATE TABLE schema_changes (
    change_id INTEGER NOT NULL, schema_version INTEGER, changed DATETIME NOT NULL, PRIMARY KEY (change_id));
CREATE TABLE states_meta (metadata_id INTEGER NOT NULL, entity_id VARCHAR(255), PRIMARY KEY (metadata_id));
CREATE UNIQUE INDEX ix_states_meta_entity_id ON states_meta (entity_id);
CREATE TABLE state_attributes (
    attributes_id INTEGER NOT NULL, hash BIGINT, shared_attrs TEXT, PRIMARY KEY (attributes_id));
CREATE TABLE states (
    state_id INTEGER NOT NULL, entity_id CHAR(0), state VARCHAR(255), attributes CHAR(0), event_id SMALLINT,
    last_changed CHAR(0), last_changed_ts FLOAT, last_reported_ts FLOAT, last_updated CHAR(0), last_updated_ts FLOAT,
    old_state_id INTEGER, attributes_id INTEGER, context_id CHAR(0), context_user_id CHAR(0),
    context_parent_id CHAR(0), origin_idx SMALLINT, context_id_bin BLOB, context_user_id_bin BLOB,
    context_parent_id_bin BLOB, metadata_id INTEGER, PRIMARY KEY (state_id));
CREATE INDEX ix_states_metadata_id_last_updated_ts ON states (metadata_id, last_updated_ts);
CREATE TABLE statistics_meta (
    id INTEGER NOT NULL, statistic_id VARCHAR(255), source VARCHAR(32), unit_of_measurement VARCHAR(255),
    has_mean BOOLEAN, has_sum BOOLEAN, name VARCHAR(255), PRIMARY KEY (id));
CREATE TABLE statistics (
    id INTEGER NOT NULL, created CHAR(0), created_ts FLOAT, metadata_id INTEGER, start CHAR(0), start_ts FLOAT,
    mean FLOAT, min FLOAT, max FLOAT, last_reset CHAR(0), last_reset_ts FLOAT, state FLOAT, sum FLOAT,
    PRIMARY KEY (id));
CREATE UNIQUE INDEX ix_statistics_statistic_id_start_ts ON statistics (metadata_id, start_ts);
INSERT INTO schema_changes (schema_version, changed) VALUES (43, '2026-01-01 00:00:00.000000');
"""

State = tuple[float, object, str | None]
"""Time (s), state, unit of measurement."""
Hour = tuple[float, float | None, float | None, float | None]
"""Start (s), mean, min, max."""


def create(path: Path) -> Path:
    """Make an empty database."""
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA)
    database.close()
    return path


def add_states(path: Path, entity: str, states: Iterable[State]) -> None:
    """Record states of an entity; the unit stands in its attributes."""
    with sqlite3.connect(path) as database:
        key = database.execute("INSERT INTO states_meta (entity_id) VALUES (?)", [entity]).lastrowid
        attributes: dict[str | None, int | None] = {}
        for ts, state, unit in states:
            if unit not in attributes:
                shared = {"friendly_name": entity} | ({"unit_of_measurement": unit} if unit else {})
                written = database.execute(
                    "INSERT INTO state_attributes (shared_attrs) VALUES (?)", [json.dumps(shared)]
                )
                attributes[unit] = written.lastrowid
            database.execute(
                "INSERT INTO states (metadata_id, state, last_updated_ts, attributes_id) VALUES (?, ?, ?, ?)",
                [key, str(state), ts, attributes[unit]],
            )
    database.close()


def add_statistics(path: Path, name: str, unit: str, hours: Iterable[Hour]) -> None:
    """Record hourly statistics."""
    with sqlite3.connect(path) as database:
        key = database.execute(
            "INSERT INTO statistics_meta (statistic_id, source, unit_of_measurement) VALUES (?, 'recorder', ?)",
            [name, unit],
        ).lastrowid
        database.executemany(
            f"INSERT INTO statistics (metadata_id, start_ts, mean, min, max) VALUES ({key}, ?, ?, ?, ?)",
            hours,
        )
    database.close()

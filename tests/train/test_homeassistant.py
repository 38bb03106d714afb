"""Home Assistant's database: states, statistics, units, and what is said of a database that cannot be used."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq.core.instants import format_instant
from edgeseq.errors import InputError
from edgeseq_train import recording
from edgeseq_train.parts import Recording
from edgeseq_train.recordings import homeassistant
from tests.train.conftest import HOUR_NS
from tests.train.homeassistant_database import add_states, add_statistics, create

START_S = 1_780_000_000 // 3600 * 3600
DAY_S = 86_400
CELLAR = "sensor.cellar_temperature"


def _value(t_s: float) -> float:
    return round(20 + 3 * math.sin(2 * math.pi * t_s / DAY_S), 2)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database: thermometers of four days, statistics of sixty, a door, a sensor that changed its unit."""
    path = create(tmp_path_factory.mktemp("ha") / "home-assistant_v2.db")
    times = [START_S + 600 * k for k in range(576)]
    add_states(
        path,
        CELLAR,
        [(t + 0.25, "unavailable" if k % 100 == 7 else _value(t), "°C") for k, t in enumerate(times)],
    )
    add_states(path, "sensor.attic_temperature", [(t, _value(t) + 5, "°C") for t in times[100:]])
    add_states(
        path, "sensor.mixed", [(t, 20 + k % 7, "°C" if k < 300 else "°F") for k, t in enumerate(times)]
    )
    add_states(
        path, "binary_sensor.door", [(t, "on" if k % 2 else "off", None) for k, t in enumerate(times[:50])]
    )
    add_states(path, "sensor.new", [])
    hours = [START_S + 3600 * (k - 60 * 24) for k in range(64 * 24)]
    add_statistics(path, CELLAR, "°C", [(t, _value(t), _value(t) - 1, _value(t) + 1) for t in hours])
    add_statistics(path, "sensor.energy", "kWh", [(t, None, None, None) for t in hours[:10]])
    return path


def _read(
    path: Path, period_ns: int = 600 * 10**9, aggregate: Any = "last", **options: Any
) -> tuple[Recording, list[str]]:
    said: list[str] = []
    return recording.read(path, period_ns, aggregate, say=said.append, **options), said


def test_states_become_series_with_their_units(database: Path) -> None:
    """Entities chosen by pattern lie on one grid, missing where unavailable and before they began; units are known."""
    taken, said = _read(database, columns=["sensor.*_temperature"])
    assert taken.names == ("sensor.attic_temperature", CELLAR)
    assert taken.units == ("°C", "°C")
    assert taken.start_ns == START_S * 10**9 + 250_000_000
    attic, cellar = taken.values[:, 0, 0], taken.values[:, 1, 0]
    assert np.isnan(attic[:100]).all()
    assert attic[100] == _value(START_S + 60_000) + 5
    assert np.flatnonzero(np.isnan(cellar)).tolist() == [7, 107, 207, 307, 407, 507]
    assert f"{CELLAR}: left out 6 cells that say unavailable or unknown" in said


def test_statistics_that_reach_further_back_are_pointed_to(database: Path) -> None:
    """Where states are read though statistics know fifty days more, a line says how to train on those."""
    _, said = _read(database, columns=[CELLAR])
    (line,) = [line for line in said if "hourly statistics since" in line]
    assert format_instant((START_S - 60 * DAY_S) * 10**9) in line
    assert "--aggregate mean" in line


@pytest.mark.parametrize(("aggregate", "shift"), [("mean", 0), ("min", -1), ("max", 1)])
def test_statistics_are_read_where_the_device_would_compute_the_same(
    database: Path, aggregate: Any, shift: int
) -> None:
    """Mean, minimum or maximum of whole hours come from the statistics, each in the step of its hour."""
    taken, said = _read(database, HOUR_NS, aggregate, columns=[CELLAR])
    assert said[0] == f"{CELLAR}: hourly statistics ({aggregate})"
    assert taken.values.shape == (64 * 24, 1, 1)
    assert taken.values[5, 0, 0] == pytest.approx(_value(START_S + 5 * 3600) + shift)
    assert taken.start_ns == (START_S - 60 * DAY_S + 3600) * 10**9
    states, _ = _read(database, HOUR_NS, aggregate, columns=[CELLAR], statistics=False)
    assert len(states.values) == 4 * 24


def test_counters_are_read_from_states(database: Path) -> None:
    """A mean of meter readings is no mean of increments: statistics are neither taken, pointed to nor obeyed."""
    taken, said = _read(database, HOUR_NS, "mean", columns=[CELLAR], kind="counter")
    assert len(taken.values) == 4 * 24
    assert not any("statistics" in text for text in said)
    with pytest.raises(InputError, match="there are no statistics to train") as raised:
        _read(database, HOUR_NS, "mean", columns=[CELLAR], kind="counter", statistics=True)
    assert "no counter" in str(raised.value.do)


@pytest.mark.parametrize(
    ("aggregate", "entity", "found", "do"),
    [
        ("last", CELLAR, "aggregate last", "--aggregate mean"),
        ("mean", "sensor.mixed", "no statistics", "--states"),
    ],
)
def test_statistics_that_are_not_there_are_refused(
    database: Path, aggregate: Any, entity: str, found: str, do: str
) -> None:
    """Asked for statistics that cannot be what the device computes, or that nobody kept, the error says which."""
    with pytest.raises(InputError, match="there are no statistics to train") as raised:
        _read(database, HOUR_NS, aggregate, columns=[entity], statistics=True)
    assert found in str(raised.value.found)
    assert do in str(raised.value.do)


def test_entities_must_be_named(database: Path) -> None:
    """A database has hundreds of entities: without --columns the error lists those with statistics."""
    with pytest.raises(InputError, match="which entities are meant") as raised:
        _read(database)
    assert f"{CELLAR} (°C)" in str(raised.value.found)
    assert "--columns" in str(raised.value.do)


def test_an_entity_that_is_not_there_is_answered_with_one_alike(database: Path) -> None:
    """A misspelt entity is an error that suggests the right one."""
    with pytest.raises(InputError, match="no such column, series or entity") as raised:
        _read(database, columns=["sensor.celar_temperature"])
    assert CELLAR in str(raised.value.do)


@pytest.mark.parametrize(
    ("entity", "found"),
    [("binary_sensor.door", "'off', 'on'"), ("sensor.new", "no states"), ("sensor.energy", "no states")],
)
def test_an_entity_without_numbers_is_refused(database: Path, entity: str, found: str) -> None:
    """The error says what an entity has instead of numbers."""
    with pytest.raises(InputError, match="there are no numbers") as raised:
        _read(database, columns=[entity])
    assert raised.value.found == f"{entity}: {found}"


def test_mixed_units_are_refused_until_the_time_is_cut(database: Path) -> None:
    """°C before and °F after a day are not one channel: the error names both, when it changed, and the cut."""
    with pytest.raises(InputError, match=r"the readings of sensor\.mixed have several units") as raised:
        _read(database, columns=["sensor.mixed"])
    change = format_instant((START_S + 600 * 300) * 10**9)
    assert raised.value.found == (
        f"300 in °C (first at {format_instant(START_S * 10**9)}), 276 in °F (first at {change})"
    )
    assert f"--until {change} for those in °C" in str(raised.value.do)
    taken, _ = _read(database, columns=["sensor.mixed"], since_ns=(START_S + 600 * 300) * 10**9)
    assert taken.units == ("°F",)


def test_a_locked_database_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes exclusively, the error says so and what to read instead."""
    monkeypatch.setattr(homeassistant, "WAIT_S", 0.01)
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InputError, match="the database is locked") as raised:
            _read(database, columns=[CELLAR])
    finally:
        other.rollback()
        other.close()
    assert "copy the -wal file with it" in str(raised.value.do)


def test_a_database_in_use_is_read(database: Path, tmp_path: Path) -> None:
    """Home Assistant writes ahead (WAL): its database is read while a transaction is open."""
    copy = tmp_path / "live.db"
    copy.write_bytes(database.read_bytes())
    live = sqlite3.connect(copy)
    live.execute("PRAGMA journal_mode = wal")
    live.execute("BEGIN IMMEDIATE")
    live.execute("DELETE FROM states")
    assert len(_read(copy, columns=[CELLAR])[0].values) == 576
    live.rollback()
    live.close()


@pytest.mark.parametrize(
    ("damage", "found"),
    [(lambda b: b[: len(b) // 3], "malformed"), (lambda b: b[:16] + b"x" * 400, "not a database")],
)
def test_a_damaged_database_is_named(database: Path, tmp_path: Path, damage: Any, found: str) -> None:
    """A cut or overwritten file is an error that says how to get a whole one."""
    path = tmp_path / "damaged.db"
    path.write_bytes(damage(database.read_bytes()))
    with pytest.raises(InputError, match="the database cannot be read") as raised:
        _read(path, columns=[CELLAR])
    assert found in str(raised.value.found)
    assert ".recover" in str(raised.value.do)


def test_an_older_schema_is_named_with_its_version(tmp_path: Path) -> None:
    """A database of before 2023 is refused with the version it has and how to bring it up to date."""
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript(
        "CREATE TABLE states (state_id, domain, entity_id, state, attributes, last_changed, last_updated);"
        "CREATE TABLE schema_changes (change_id, schema_version, changed);"
        "INSERT INTO schema_changes VALUES (1, 25, ''), (2, 26, '');"
    )
    old.close()
    with pytest.raises(InputError, match="of another version of Home Assistant") as raised:
        _read(path, columns=[CELLAR])
    assert str(raised.value.found).startswith("schema 26, without states.")
    assert "38 or later" in str(raised.value.wanted)


def test_another_database_is_named_by_its_tables(tmp_path: Path) -> None:
    """SQLite that is not Home Assistant's is refused with what it holds."""
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title)")
    other.close()
    with pytest.raises(InputError, match="no database of Home Assistant") as raised:
        _read(path, columns=[CELLAR])
    assert raised.value.found == "tables: songs"

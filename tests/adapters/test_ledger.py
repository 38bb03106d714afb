"""The ledger keeps what was committed, within its bounds, and never stands in the way."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters import ledger as ledgers
from edgeseq.adapters.ledger import EventRow, Ledger, ReadingsRow, read_labels
from edgeseq.adapters.ledger import file as ledger_file
from edgeseq.adapters.ledger.file import NAME
from edgeseq.core.types import Outgoing
from edgeseq.errors import StorageError

DAY_NS = 86_400 * 10**9
NOW_NS = 1_772_359_200 * 10**9
OUT = Outgoing("e/n/p/alert", b"{}", qos=1, alert_id="a:1:acknowledged")


def event(name: str = "a", seq: int = 1, *, age_days: int = 0, event_type: str = "opened") -> EventRow:
    """Make an event."""
    return EventRow(
        name, seq, event_type, f"s-{name}", "t", "spike", NOW_NS - age_days * DAY_NS, False, b'{"id":"x"}'
    )


def readings(name: str, *, is_complete: bool = True) -> ReadingsRow:
    """Make readings."""
    return ReadingsRow(name, "{}", is_complete, 0, NOW_NS, 10**9, 2, b"\0" * 24)


@pytest.fixture
def said() -> list[str]:
    """Give what was notified."""
    return []


@pytest.fixture
def ledger(tmp_path: Path, said: list[str]) -> Iterator[Ledger]:
    """Give an empty ledger."""
    made = Ledger(tmp_path, lambda name, **_: said.append(name))
    yield made
    made.close()


def reopened(ledger: Ledger) -> Ledger:
    """Open it anew, as another process would."""
    ledger.close()
    return ledger


def numbers(ledger: Ledger, **chosen: Any) -> list[str]:
    """List the ids of the history, newest first."""
    return [row["id"] for row in ledger.history(None, 10**6, **chosen)]


def test_ledger_keeps_everything_over_a_restart(ledger: Ledger) -> None:
    """Events, acknowledgements, snoozes, labels, readings, rates and what is still to be told."""
    late = Outgoing("e/n/p/alert", b"late", qos=1, alert_id="a:1")
    ledger.record([event()], [("a", NOW_NS, late)], [readings("a", is_complete=False)], {"t": "[1]"})
    ledger.acknowledge("a", NOW_NS, "anna", OUT)
    number = ledger.ask("snooze", "{}", None)
    ledger.change(number, '{"x":1}')
    assert ledger.label("a", "real", "pump broke", "anna", NOW_NS)
    kept = reopened(ledger).load()
    assert kept.acknowledged == {"a": (NOW_NS, "anna")}
    assert kept.told_late == {"a"}
    assert kept.outbox == [late, OUT]
    assert [tuple(asked) for asked in kept.asked] == [(number, "snooze", '{"x":1}', None)]
    assert kept.readings == [readings("a", is_complete=False)]
    assert kept.rates == {"t": "[1]"}
    (row,) = ledger.history(None, 10)
    assert (row["label"], row["note"], row["acknowledged_by"], row["muted"]) == (
        "real",
        "pump broke",
        "anna",
        0,
    )
    ledger.settle()
    assert reopened(ledger).load().outbox == []


def test_ledger_keeps_an_event_once(ledger: Ledger) -> None:
    """The same id and seq, told again after a crash, is the same event, and the first word stands."""
    ledger.record([event()], [], [], {})
    ledger.record([event()._replace(payload=b"other"), event(seq=2, event_type="cleared")], [], [], {})
    assert [(row["id"], bytes(row["payload"])) for row in ledger.history(None, 9)] == [
        ("a", b'{"id":"x"}'),
        ("a", b'{"id":"x"}'),
    ]


def test_ledger_pages_give_every_event_once(ledger: Ledger) -> None:
    """Newest first, each page beginning where the one before ended; also of one stream, and of labelled alerts."""
    ledger.record([event(f"{n:02}") for n in range(25)], [], [], {})
    seen: list[str] = []
    before = None
    while page := ledger.history(before, 10):
        seen += [row["id"] for row in page]
        before = page[-1]["number"]
    assert seen == [f"{n:02}" for n in reversed(range(25))]
    assert numbers(ledger, stream="s-07") == ["07"]
    ledger.label("03", "false_alarm", None, None, NOW_NS)
    assert numbers(ledger, is_labelled=True) == ["03"]
    ledger.label("03", None, None, None, NOW_NS)
    assert numbers(ledger, is_labelled=True) == []


def test_ledger_is_bounded_and_spares_what_is_open_or_labelled(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and many events go, with what hangs on them; open alerts and labelled ones stay."""
    monkeypatch.setattr(ledgers, "MOST_EVENTS", 5)
    monkeypatch.setattr(ledgers, "MOST_WINDOWS", 3)
    ledger.record([event(f"{n:02}") for n in range(20)], [], [readings(f"{n:02}") for n in range(20)], {})
    ledger.record([event("old", age_days=500)], [("old", 1, OUT)], [], {})
    ledger.acknowledge("04", NOW_NS, None, OUT)
    ledger.label("02", "real", None, None, NOW_NS)
    ledger.prune(NOW_NS, ["01"])
    assert numbers(ledger) == ["19", "18", "17", "16", "02", "01"]
    assert [n for n in range(20) if ledger.readings(f"{n:02}")] == [1, 2, 17, 18, 19]
    kept = ledger.load()
    assert (kept.acknowledged, kept.told_late) == ({}, set())


def test_ledger_takes_so_many_labels_and_no_more(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label is a person's work: none is dropped for another."""
    monkeypatch.setattr(ledgers, "MOST_LABELS", 2)
    assert [ledger.label(name, "real", None, None, 1) for name in ("a", "b", "c", "a")] == [
        True,
        True,
        False,
        True,
    ]


def test_ledger_damaged_is_set_aside_and_begun_anew(ledger: Ledger, tmp_path: Path, said: list[str]) -> None:
    """Whatever stands in the file, the next call works, and the old one is kept for people to look at."""
    ledger.record([event()], [], [], {})
    ledger.close()
    (tmp_path / NAME).write_bytes(b"not a database, but long enough to be taken for the header of one" * 99)
    ledger.record([event("b")], [], [], {})
    assert numbers(ledger) == ["b"]
    assert said == ["ledger.rejected"]
    assert (tmp_path / "ledger.corrupt").exists()


def test_ledger_with_a_torn_page_is_set_aside(ledger: Ledger, tmp_path: Path, said: list[str]) -> None:
    """Damage in the middle of the file is found when it is opened."""
    ledger.record([event(f"{n}") for n in range(500)], [], [], {})
    ledger.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    (tmp_path / NAME).write_bytes(content)
    ledger.record([event("b")], [], [], {})
    assert (numbers(ledger), said) == (["b"], ["ledger.rejected"])


def test_ledger_of_a_later_version_is_set_aside(ledger: Ledger, tmp_path: Path, said: list[str]) -> None:
    """A file that a newer edgeseq wrote is neither read nor overwritten."""
    ledger.count()
    ledger.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert (ledger.count(), said) == (0, ["ledger.rejected"])


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.record([event("z")], [], [], {}),
        lambda one: one.acknowledge("z", 1, None, OUT),
        lambda one: one.load(),
        lambda one: one.prune(NOW_NS, []),
    ],
)
def test_ledger_without_a_folder_is_a_storage_fault_and_works_again_later(
    ledger: Ledger, tmp_path: Path, call: Callable[[Ledger], object]
) -> None:
    """What the disk refuses is told as such; when it is mended, the same call works."""
    folder = tmp_path / "gone"
    lost = Ledger(folder, lambda *_, **__: None)
    with pytest.raises(StorageError, match="ledger"):
        call(lost)
    folder.mkdir()
    call(lost)
    lost.close()


def test_ledger_on_a_full_disk_keeps_what_it_had(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that finds no room is a fault and leaves nothing half done."""
    monkeypatch.setattr(ledger_file, "MOST_BYTES", 40 * 4096)
    ledger.record([event("a")], [], [], {})
    with pytest.raises(StorageError, match="ledger"):
        ledger.record([event(f"{n}")._replace(payload=b"x" * 4000) for n in range(100)], [], [], {})
    assert numbers(ledger) == ["a"]


def test_ledger_belongs_to_one_thread(ledger: Ledger) -> None:
    """SQLite itself refuses another thread."""
    ledger.count()
    found: list[BaseException] = []

    def look() -> None:
        try:
            ledger.count()
        except StorageError as fault:
            found.append(fault)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found


def test_labels_are_read_without_touching_the_file(ledger: Ledger, tmp_path: Path) -> None:
    """Of a node that does not run; one that runs holds its ledger, which is said."""
    assert read_labels(tmp_path / "nowhere") == []
    ledger.record([event(), event(seq=2, event_type="cleared"), event("b")], [], [], {})
    ledger.label("a", "real", None, None, NOW_NS)
    with pytest.raises(StorageError, match="labels") as fault:
        read_labels(tmp_path)
    assert "--labels" in str(fault.value)
    ledger.close()
    assert read_labels(tmp_path) == [("s-a", NOW_NS, "real")]
    (tmp_path / NAME).write_bytes(b"x" * 5000)
    with pytest.raises(StorageError, match="labels"):
        read_labels(tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"x" * 5000

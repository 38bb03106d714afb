"""InfluxDB exports: names, numbers, escapes, units, and lines that are no points."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq.errors import InputError
from edgeseq_train import recording
from edgeseq_train.parts import Recording
from edgeseq_train.recordings import influx

START_S = 1_772_359_200
HEADER = """# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z
# DDL
CREATE DATABASE db0 WITH NAME autogen
# DML
# CONTEXT-DATABASE:db0
# CONTEXT-RETENTION-POLICY:autogen
# writing tsm data
"""


def _points(head: str, fields: str, count: int = 20, unit_ns: int = 1) -> str:
    """Write points of ten minutes; `#` in the fields stands for the number of the point."""
    return "".join(
        f"{head} {fields.replace('#', str(k))} {(START_S + 600 * k) * 10**9 // unit_ns}\n"
        for k in range(count)
    )


def _read(path: Path, **options: Any) -> tuple[Recording, list[str]]:
    said: list[str] = []
    return recording.read(path, 600 * 10**9, say=said.append, **options), said


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "export"
    path.write_text(text)
    return path


def test_numeric_fields_become_series_and_others_are_told(tmp_path: Path) -> None:
    """A series for each tag set and numeric field; text, which may hold anything, and truth values are left out."""
    text = HEADER + _points(
        "weather,host=a,room=hall", r'temperature=#.5,hum=4#i,note="x, \"y\" z=3 5",ok=true'
    )
    text += _points(r"my\ station,place=north\,\ west\=1", "value=-1e-#")
    taken, said = _read(_write(tmp_path, text))
    assert taken.names == (
        "weather host=a room=hall temperature", "weather host=a room=hall hum", "my station place=north, west=1",
    )  # fmt: skip
    np.testing.assert_array_equal(taken.values[:, 0, 0], np.arange(20) + 0.5)
    np.testing.assert_array_equal(taken.values[:3, 1, 0], [40, 41, 42])
    assert taken.values[2, 2, 0] == -0.01
    assert said[0] == "left out, for they hold no numbers: note, ok"


def test_gzip_and_cuts_between_reads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed export, and one read in small pieces, give what the whole gives."""
    text = HEADER + _points("cpu,host=a", "idle=#") + _points("cpu,host=b", "idle=#.25")
    whole, _ = _read(_write(tmp_path, text))
    packed = tmp_path / "export.lp.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(influx, "CHUNK_BYTES", 100)
    shares: list[float] = []
    for path in (packed, tmp_path / "export"):
        pieces, _ = _read(path, progress=lambda _, share: shares.append(share))
        assert pieces.names == whole.names
        np.testing.assert_array_equal(pieces.values, whole.values)
    assert len(shares) > 10
    assert max(shares) <= 1


@pytest.mark.parametrize("unit_ns", [10**9, 10**6, 10**3, 1])
def test_times_of_any_precision_are_read(tmp_path: Path, unit_ns: int) -> None:
    """Seconds to nanoseconds are told by their size."""
    taken, _ = _read(_write(tmp_path, _points("m", "v=#", unit_ns=unit_ns)))
    assert (taken.names, taken.start_ns) == (("m v",), START_S * 10**9)


def test_home_assistants_points_have_its_names_and_units(tmp_path: Path) -> None:
    """What Home Assistant writes is named by the entity; the measurement is its unit, which must be one."""
    text = _points("°C,domain=sensor,entity_id=cellar", 'value=1#,friendly_name_str="Cellar"')
    taken, _ = _read(_write(tmp_path, text))
    assert (taken.names, taken.units) == (("sensor.cellar",), ("°C",))
    later = _points("°F,domain=sensor,entity_id=cellar", "value=5#", count=40).splitlines(keepends=True)[20:]
    with pytest.raises(InputError, match=r"the readings of sensor\.cellar have several units"):
        _read(_write(tmp_path, text + "".join(later)))


def test_channels_of_one_stream_are_named_by_their_fields(tmp_path: Path) -> None:
    """Fields of one series become the channels of a stream under their own names."""
    taken, _ = _read(_write(tmp_path, _points("pump,id=1", "flow=#,vibration=3#")), multichannel=True)
    assert (taken.names, taken.values.shape) == (("flow", "vibration"), (20, 1, 2))


def test_a_line_that_is_no_point_is_named(tmp_path: Path) -> None:
    """A broken line is neither dropped nor guessed at: the error has its number and text."""
    lines = _points("m", "v=#").splitlines()
    path = _write(tmp_path, "\n".join([*lines[:7], "broken line", "m v=", *lines[7:]]))
    with pytest.raises(InputError, match="a line is no point of the line protocol") as raised:
        _read(path)
    assert raised.value.where == f"{path}: line 8"
    assert raised.value.found == "'broken line' and 1 more such lines"


def test_an_export_without_numbers_is_refused(tmp_path: Path) -> None:
    """Where no field holds numbers, the error names the fields there are."""
    with pytest.raises(InputError, match="no field holds numbers") as raised:
        _read(_write(tmp_path, _points("m", 'state="on"')))
    assert raised.value.found == "20 lines, fields state"


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    """An export whose gzip ends too early is an error, not half a recording."""
    path = tmp_path / "export.gz"
    path.write_bytes(gzip.compress(_points("m", "v=#", count=3000).encode())[:-4000])
    with pytest.raises(InputError, match="the recording cannot be read") as raised:
        _read(path)
    assert "ended before" in str(raised.value.found)

"""The alert benches: scores are those of the published formulas, taken from what the daemon would have said."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq.commands.replay import replay
from edgeseq.core.instants import format_instant
from edgeseq.core.types import F64, Outgoing
from tests.bench.alerts import global_bundles, nab, nab_files, peers, play, skab
from tests.bench.alerts.faults import Fault
from tests.bench.alerts.injected import judge
from tests.bench.alerts.injected_peers import once_a_week
from tests.bench.alerts.injected_rows import figures_of
from tests.bench.alerts.nab_score import (
    Costs,
    Counted,
    Labelled,
    count,
    leave_one_out,
    normalised,
    sigmoid,
    worth,
)
from tests.bench.alerts.page import page
from tests.bench.alerts.parts import Album, Mark, Span
from tests.bench.alerts.plan import Placed
from tests.bench.datasets import DataSet

STANDARD = Costs(tp=1.0, fp=0.11, fn=1.0)
HOUR_NS = 3600 * 10**9
FIRST_NS = 1_400_000_000 * 10**9


def labelled(
    windows: tuple[tuple[int, int], ...] = ((400, 499),), rows: int = 1000, name: str = "a/x"
) -> Labelled:
    """Make a series of hours with windows; the first 150 rows are not scored."""
    return Labelled(name, FIRST_NS + np.arange(rows) * HOUR_NS, np.zeros(rows), windows)


def scored(alarms: list[int], series: Labelled | None = None, costs: Costs = STANDARD) -> float | None:
    """Score the alarms of one series."""
    series = series or labelled()
    return normalised([count(series, worth(series), alarms)], costs)


# --- NAB --------------------------------------------------------------------------------------------------------


def test_nab_score_is_0_for_silence_and_100_for_perfection() -> None:
    """Nothing said is 0, the first row of every window and nothing else is 100, in any profile."""
    series = labelled(((400, 499), (700, 760)))
    for costs in (STANDARD, Costs(1.0, 0.22, 1.0), Costs(1.0, 0.11, 2.0)):
        assert scored([], series, costs) == 0
        assert scored([400, 700], series, costs) == pytest.approx(100)


def test_nab_score_of_late_and_false_alarms_is_the_published_sigmoid() -> None:
    """Only the earliest alarm of a window counts, by its place; one outside costs its weight, less soon after it."""
    middle = sigmoid(-50 / 100) / sigmoid(-1.0)
    assert scored([450, 470, 499]) == pytest.approx(100 * (middle + 1) / 2)
    assert scored([400, 300]) == pytest.approx(100 * (2 - 0.11) / 2)
    near = -sigmoid(10 / 99)
    assert 0 < near < 1
    assert scored([400, 509]) == pytest.approx(100 * (2 - 0.11 * near) / 2)
    assert scored([300]) == pytest.approx(100 * -0.11 / 2)
    assert normalised([count(labelled(()), worth(labelled(())), [300])], STANDARD) is None


def test_nab_score_leaves_probation_out_and_joins_bursts() -> None:
    """Alarms of the first 15 % are not scored; those less than 12 rows apart are one burst."""
    counted = count(labelled(), worth(labelled()), [10, 149, 200, 205, 216, 228])
    assert counted.bursts == 2
    assert counted.false == -4
    assert counted.days == pytest.approx(849 / 24)
    assert labelled(rows=10_000).probation == 750


def test_nab_leave_one_out_never_chooses_by_the_category_it_scores() -> None:
    """A setting that is good in one category alone is not chosen for it."""
    good, bad = Counted(1.0, 1, 1, 0.0, 0, 1.0, (0.0,)), Counted(0.0, 0, 1, -3.0, 3, 1.0, ())
    counted = {"1": {"a/x": bad, "b/y": good}, "2": {"a/x": good, "b/y": bad}}
    score, chosen = leave_one_out(counted, {"a/x": "a", "b/y": "b"}, STANDARD)
    assert chosen == {"a": "1", "b": "2"}
    assert score == normalised([bad, bad], STANDARD)


def nab_folder(folder: Path) -> Path:
    """Lay out two series as NAB does, one of which has no file."""
    rng, rows = np.random.default_rng(5), 440
    times = np.datetime64("2014-04-01T00:00:00") + np.arange(rows) * np.timedelta64(5, "m")
    values = 20 + rng.standard_normal(rows)
    values[420] += 60
    (folder / "nab/cat").mkdir(parents=True)
    with (folder / "nab/cat/one.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "value"])
        writer.writerows((str(t).replace("T", " "), v) for t, v in zip(times, values, strict=True))
    window = [f"{str(times[k]).replace('T', ' ')}.000000" for k in (410, 430)]
    (folder / "nab/windows.json").write_text(json.dumps({"cat/one.csv": [window], "cat/two.csv": []}))
    profiles = {
        name: {"CostMatrix": {"tpWeight": 1.0, "fpWeight": 0.11, "fnWeight": 1.0}}
        for name in nab_files.PROFILES
    }
    (folder / "nab/profiles.json").write_text(json.dumps(profiles))
    return folder


def test_nab_part_scores_any_folder_laid_out_like_nab_and_says_what_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spike in its window is found in a series never seen; a series or peer that is not there is told."""
    monkeypatch.setattr(peers, "RIVER", tmp_path / "none")
    monkeypatch.setattr(nab, "SENSITIVITIES", ("1", "0.1"))
    found = nab.run(nab_folder(tmp_path), album := Album())
    assert {"part": "nab", "series": "cat/two.csv", "not_available": "no such file"} in found.rows
    assert [r["not_available"] for r in found.rows if r.get("detector") == peers.TREES]
    assert found.figures["nab_windows"] == found.figures["nab_windows_hit"] == 1
    assert found.figures["nab_shipped_standard"] is not None
    (picture,) = album.pictures
    assert [s.found for s in picture.spans] == [True]
    hit = next(m for m in picture.marks if m.verdict == "hit")
    assert hit.row == 420
    assert nab.run(tmp_path / "nab", Album()).rows[0]["not_available"]


def a_set(name: str, rows: int, period_s: int, start_ns: int = 0) -> DataSet:
    """Make a data set that tells its rows by number."""
    values = np.arange(float(rows))[:, None]
    return DataSet(name, values, ("x",), values[:, :0], (), period_s, start_ns, rows, rows, rows, counts=True)


def test_global_bundles_train_on_sets_of_the_period_or_a_part_of_it() -> None:
    """A finer set gives every so manieth reading from a midnight on, all the same rows; a much shorter one none."""
    hour = 3600
    fine = a_set("fine", 12_000, 600, start_ns=20 * HOUR_NS)
    table, names = global_bundles.together(
        [a_set("long", 2500, hour), fine, a_set("short", 900, hour)], hour * 10**9
    )
    assert names == ["long", "fine"]
    assert table is not None
    assert table.columns == ["time", "long x", "fine x"]
    assert len(table) == 2000
    assert table["fine x"][:3].to_list() == [24, 30, 36]
    assert global_bundles.together([], hour * 10**9) == (None, [])


def test_settings_say_only_what_is_not_as_shipped() -> None:
    """The shipped thresholds are applied by saying nothing of them."""
    assert play.Settings().lines(HOUR_NS) == []
    settings = play.Settings(2.0, {HOUR_NS: Path("/x.edgeseq")})
    assert settings.lines(HOUR_NS) == ["sensitivity = 2", 'bundle = "/x.edgeseq"']
    assert settings.lines(2 * HOUR_NS) == ["sensitivity = 2"]


# --- play -------------------------------------------------------------------------------------------------------


def noisy(name: str, start_ns: int, seed: int) -> play.Series:
    """Make 30 days of hours with a spike, a stuck value and a gap."""
    rng, rows = np.random.default_rng(seed), 720
    values = 10 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.standard_normal(rows)
    values[500] += 80
    values[560:580] = values[559]
    values[620:650] = np.nan
    return play.Series(name, start_ns + np.arange(rows) * HOUR_NS, values[:, None], HOUR_NS)


def test_play_many_at_once_gives_what_the_command_gives_for_one(tmp_path: Path) -> None:
    """`edgeseq replay` of one series says the same as playing it beside others of other years and periods."""
    one = noisy("one", FIRST_NS, seed=1)
    others = [
        noisy("two", FIRST_NS + 77 * play.WEEK_NS + 13, seed=2),
        noisy("three", FIRST_NS - play.WEEK_NS, seed=3),
    ]
    together = play.play([one, *others]).alerts
    assert {"spike", "silent"} <= {kind for a in together["one"] for kind in a.kinds}

    (topic,) = play.write_config(tmp_path / "edgeseq.toml", [one], play.Settings())
    with (tmp_path / "one.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "value"])
        for time_ns, value in zip(play.moved(one.time_ns).tolist(), one.values[:, 0].tolist(), strict=True):
            writer.writerow([format_instant(time_ns), "" if np.isnan(value) else repr(value)])
    arguments = [
        "--config",
        str(tmp_path / "edgeseq.toml"),
        "--input",
        str(tmp_path / "one.csv"),
        "--topics",
        "alert",
    ]
    done = CliRunner().invoke(
        replay, [*arguments, "--column", f"value={topic}", "-o", str(tmp_path / "out.jsonl")]
    )
    assert done.exit_code == 0, done.output
    lines = (json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines())
    told = [Outgoing(line["topic"], json.dumps(line["payload"]).encode()) for line in lines]
    assert play.read_alerts([one], told)["one"] == together["one"]


def test_play_tells_alerts_by_the_row_at_which_they_come() -> None:
    """A spike is told at its own row, a silence within the gap and never before its deadline."""
    alerts = play.play([noisy("one", FIRST_NS, seed=1)]).alerts["one"]
    assert 500 in [a.row for a in alerts if "spike" in a.kinds]
    (silent,) = (a for a in alerts if a.kind == "silent")
    assert 620 < silent.row < 650
    assert silent.cleared_row == 650


def test_play_several_channels_are_one_stream() -> None:
    """Channels come together, and an alert names the one it is about."""
    first, second = noisy("one", FIRST_NS, seed=1), noisy("two", FIRST_NS, seed=2)
    calm = second.values.copy()
    calm[500] -= 80
    plant = play.Series("plant", first.time_ns, np.hstack([calm, first.values]), HOUR_NS, ("calm", "ill"))
    alerts = play.play([plant]).alerts["plant"]
    assert {a.channel for a in alerts if "spike" in a.kinds and a.row == 500} == {"ill"}


def test_moved_keeps_weekday_and_time_of_day_and_order() -> None:
    """Recordings are moved by whole weeks; what would go back in time stays where time had come to."""
    times = FIRST_NS + np.array([0, 2, 1, 5000]) * HOUR_NS
    moved = play.moved(times)
    assert (moved[0] - times[0]) % play.WEEK_NS == 0
    assert play.BASE_NS <= moved[0] < play.BASE_NS + play.WEEK_NS
    assert (np.diff(moved) >= 0).all()


# --- SKAB and injected faults ------------------------------------------------------------------------------------


def an_alert(kind: str, row: int, cleared_row: int | None = None) -> play.Alert:
    """Make an alert."""
    return play.Alert(f"{kind}{row}", [kind], row, 0, None, cleared_row)


def test_skab_rows_are_alarmed_from_an_opening_to_the_clearing() -> None:
    """An alert that is never cleared alarms to the end, one that clears at once for its own row."""
    marked = skab.is_alarmed([an_alert("spike", 2, 4), an_alert("silent", 6, 6), an_alert("drift", 8)], 10)
    assert np.flatnonzero(marked).tolist() == [2, 3, 6, 8, 9]


@pytest.fixture
def at() -> Placed:
    """A level shift at row 1,000 of its recording, whose copy begins at 400."""
    fault = Fault("ett/made", 0, "level_shift", 4.0, 1000, 48, 0, 24, 168, 1)
    return Placed(fault, headline=True, first=400, stop=1148)


@pytest.mark.parametrize(
    ("alerts", "delay", "is_named", "is_masked", "after"),
    [
        ([], None, False, False, 0),
        ([an_alert("level_shift", 602, 640)], 2, True, False, 0),
        ([an_alert("spike", 600, 610), an_alert("level_shift", 605, 640)], 0, True, False, 0),
        ([an_alert("spike", 600, 602), an_alert("level_shift", 605, 640)], 0, False, False, 0),
        ([an_alert("level_shift", 599, None)], None, False, True, 0),
        ([an_alert("level_shift", 599, 600), an_alert("spike", 648)], None, False, False, 1),
    ],
)
def test_judge_counts_alerts_of_the_window_and_names_until_the_clearing(
    at: Placed, alerts: list[play.Alert], delay: int | None, is_named: bool, is_masked: bool, after: int
) -> None:
    """A fault is found by an alert that opens in its window, and named by it or by one beside it while it is open."""
    series = play.Series("fault", np.arange(748) * HOUR_NS, np.zeros((748, 1)), HOUR_NS)
    trial = judge(at, series, play.Played({"fault": alerts}))
    assert (trial.delay, trial.is_named, trial.is_masked, trial.after) == (delay, is_named, is_masked, after)


def test_figures_weigh_false_alarms_by_time(at: Placed) -> None:
    """The rate is of all stream-weeks together, plants apart from single channels."""
    series = play.Series("fault", np.arange(748) * HOUR_NS, np.zeros((748, 1)), HOUR_NS)
    trial = judge(at, series, play.Played({"fault": [an_alert("level_shift", 603)]}))
    clean = [
        {"recording": "a", "clean": "x", "weeks": 10.0, "false_alarms": 1},
        {"recording": "b", "clean": "x", "weeks": 1.0, "false_alarms": 2},
        {"recording": "b", "clean": "all channels", "weeks": 1.0, "false_alarms": 5},
    ]
    figures = figures_of([trial], clean, [])
    assert figures["injected_recall"] == figures["injected_name_right"] == 1
    assert figures["injected_median_delay_level_shift"] == 3
    assert figures["injected_false_alarms_per_stream_week"] == pytest.approx(3 / 11, abs=1e-4)
    assert figures["injected_false_alarms_per_plant_week"] == 5
    assert figures["injected_false_alarms_worst_recording_name"] == "b"


# --- peers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", peers.PEERS)
def test_peers_see_nothing_of_the_future_and_a_spike_when_it_comes(name: str) -> None:
    """A score depends on no later reading, and is greatest at a spike."""
    x: F64 = np.random.default_rng(2).standard_normal(400)
    x[300] += 50
    scores = peers.PEERS[name](x)
    np.testing.assert_allclose(peers.PEERS[name](x[:301]), scores[:301], rtol=1e-9, atol=1e-12)
    assert scores[:301].argmax() == 300


def test_once_a_week_is_the_least_threshold_that_keeps_the_budget() -> None:
    """Over two weeks of hours two bursts are exceeded, three would be with any lower threshold."""
    x = np.zeros(336)
    x[[50, 51, 150, 250]] = [3.0, 3.5, 2.0, 1.0]
    assert once_a_week([x], period_s=3600) == 1.0


# --- the page ---------------------------------------------------------------------------------------------------


def test_page_stands_alone_and_shows_every_alert() -> None:
    """The page fetches nothing, and every alert, missed window and sentence is in it, escaped."""
    album, x = Album(), np.sin(np.arange(3000.0))[:, None]
    album.add(
        "nab",
        "cat",
        "one",
        x,
        [Span(100, 200, "labelled", found=False)],
        [Mark(50, "spike", "false", "a < b"), Mark(2000, "stuck", "unscored", "")],
    )
    told = page([{"part": "nab", "series": 1}], {"nab_shipped_standard": 12.5}, album.pictures)
    assert "http" not in told
    assert told.count("<line ") == 2
    assert "a &lt; b" in told
    assert "class=lost" in told
    assert "<details class=missed><summary>Missed: 1</summary>" in told
    assert len(album.pictures[0].curves[0][0]) <= 700

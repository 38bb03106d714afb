"""The command from a CSV with gaps to a filled one, its report, and filling again without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from edgeseq.core.types import F64
from edgeseq.errors import ConfigError, InputError
from edgeseq_train.impute.command import impute
from tests.train.conftest import make_series

STEPS = 1200
LAG = 2
WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras", "ai_edge_quantizer"):
    sys.modules[name] = None
from edgeseq.cli import main
main()
"""

pytestmark = pytest.mark.training


def write_csv(path: Path, values: F64) -> None:
    """Write hourly values (T, 2) with gaps as empty cells."""
    start = np.datetime64("2026-01-01T00:00:00")
    lines = ["time,a,b"]
    for t, row in enumerate(values):
        cells = ("" if np.isnan(v) else repr(float(v)) for v in row)
        lines.append(f"{start + np.timedelta64(t, 'h')}Z,{','.join(cells)}")
    path.write_text("\n".join(lines))


def run(*words: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(impute, words, catch_exceptions=True)


@pytest.fixture(scope="module")
def values() -> F64:
    """Make two channels with gaps of 1 and 5 steps, one of 40, and a reading that is far off."""
    values = make_series(STEPS, 2)
    values[100, 0] = values[200:205, 1] = values[300:340, 0] = np.nan
    values[700, 1] += 40.0
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, values: F64) -> Path:
    """Run the command once; give the folder of its files, its words among them."""
    folder = tmp_path_factory.mktemp("impute")
    write_csv(folder / "data.csv", values)
    words = (
        f"{folder}/data.csv --every 1h -o {folder}/filled.csv --longest 6 --lag {LAG} --units 8 --steps 10"
        f" --report {folder}/report.json --save {folder}/house.imputer"
    )
    done = run(*words.split())
    assert done.exit_code == 0, done.output
    (folder / "output.txt").write_text(done.output)
    return folder


def test_filled_file_has_all_rows_and_says_what_is_filled(folder: Path, values: F64) -> None:
    """Measured values are as they were, filled ones are marked, with a band around them; long gaps stay empty."""
    table = pl.read_csv(folder / "filled.csv")
    assert table.columns == ["time", *(f"{n}{mark}" for n in "ab" for mark in COLUMNS)]
    assert table["time"][0].startswith("2026-01-01T00:00:00")
    assert len(table) == STEPS
    for c, name in enumerate("ab"):
        known = np.isfinite(values[:, c])
        written = table[name].to_numpy()
        np.testing.assert_array_equal(written[known], values[known, c])
        filled = table[f"{name}_filled"].to_numpy()
        assert not (filled & known).any()
        np.testing.assert_array_equal(np.isfinite(written), known | filled)
        inside = table.filter(pl.col(f"{name}_filled"))
        assert (inside[f"{name}_lower"] <= inside[name]).all()
        assert (inside[name] <= inside[f"{name}_upper"]).all()
    assert table["a_filled"].sum() == 1 + 6  # of the gap of 40 what lies within 6 steps of the last reading
    assert table["b_filled"].sum() == 5


COLUMNS = ("", "_filled", "_lower", "_upper", "_smoothed", "_outside")


def test_reading_far_off_is_outside(folder: Path) -> None:
    """With a lag the wrong reading is marked, its neighbours are not, and few others are."""
    outside = pl.read_csv(folder / "filled.csv")["b_outside"].to_numpy()
    assert outside[700]
    assert not outside[[699, 701]].any()
    assert outside.mean() < 0.02


def test_report_and_terminal_name_gaps_methods_and_errors(folder: Path) -> None:
    """Each channel and class has its gaps, what fills them and the error of every method on hidden stretches."""
    report = json.loads((folder / "report.json").read_text())
    rows = {(r["channel"], r["longest"]): r for r in report["rows"]}
    assert [key for key in rows if key[0] == "a"] == [("a", 1), ("a", 3), ("a", 6)]
    assert (rows["a", 1]["gaps"], rows["b", 6]["gaps"], rows["b", 1]["gaps"]) == (1, 1, 0)
    for row in rows.values():
        assert row["stretches"] >= 12
        assert row["method"] in row["mae_by_method"]
        assert row["mae"] == pytest.approx(row["mae_by_method"][row["method"]])
        assert 0.5 < row["coverage"] <= 1
    assert [(r["channel"], list(r["mae_by_method"])[-1]) for r in report["lag_rows"]] == [
        ("a", "network"),
        ("b", "network"),
    ]
    output = (folder / "output.txt").read_text()
    assert "a: with a lag of 2, single readings are estimated with an error of" in output
    assert "seasons [24]" in output
    for name in ("hold last", "linear", "seasonal", "linear + season", "network"):
        assert name in output
    assert "a: 7 steps filled, 1 gap of up to 40 steps stay empty (--longest 6)" in output
    assert "wins for gaps up to" in output


def test_kept_imputer_fills_the_same_without_tensorflow(folder: Path) -> None:
    """With --model nothing is trained, TensorFlow is not imported, and the file is the same."""
    words = f"impute {folder}/data.csv --every 1h --lag {LAG} --model {folder}/house.imputer -o {folder}/again.csv"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *words.split()],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, again = (pl.read_csv(folder / name) for name in ("filled.csv", "again.csv"))
    assert first.equals(again)


def test_without_a_lag_the_chosen_methods_fill(folder: Path) -> None:
    """The same imputer fills both short gaps between known values, as Parquet; nothing else is marked."""
    done = run(*f"{folder}/data.csv --every 1h --model {folder}/house.imputer -o {folder}/a.parquet".split())
    assert done.exit_code == 0, done.output
    table = pl.read_parquet(folder / "a.parquet")
    assert table.columns == ["time", *(f"{n}{mark}" for n in "ab" for mark in COLUMNS[:4])]
    assert (table["a_filled"].sum(), table["b_filled"].sum()) == (1, 5)
    assert table["a"].null_count() == 40
    assert table["a_lower"].drop_nulls().len() == 1


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("--every 10 -o {0}/x.csv", ConfigError, "every is no duration"),
        ("--every 1h -o {0}/x.json", ConfigError, "this kind of file is not written"),
        ("--every 1h -o {0}/none/x.csv", ConfigError, "there is no such folder"),
        ("--every 1h -o {0}/x.csv --save {0}/none/x", ConfigError, "there is no such folder"),
        ("--every 1h -o {0}/x.csv --report {0}/none/x", ConfigError, "there is no such folder"),
        ("--every 1h -o {0}/x.csv --model {0}/data.csv", InputError, "the imputer cannot be used"),
        (
            "--every 1h -o {0}/x.csv --model {0}/house.imputer --columns a",
            InputError,
            "made for other channels",
        ),
        ("--every 1h -o {0}/x.csv --model {0}/house.imputer --lag 9", ConfigError, "made for another lag"),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, words: str, kind: type[Exception], said: str) -> None:
    """Each wrong word of the command line has its message."""
    done = run(f"{folder}/data.csv", *words.format(folder).split())
    assert isinstance(done.exception, kind)
    assert said in str(done.exception)
    assert not (folder / "x.csv").exists()


def test_model_leaves_nothing_to_report(folder: Path) -> None:
    """Words that tell of a training are no words for filling without one."""
    done = run(*f"{folder}/data.csv --every 1h -o {folder}/x.csv --model x --report {folder}/r.json".split())
    assert done.exit_code == 2
    assert "with --model there is none" in done.output


def test_filled_recording_is_not_filled_again_unasked(folder: Path) -> None:
    """A channel beside one named after its marks would be written twice: that is refused."""
    done = run(*f"{folder}/filled.csv --every 1h -o {folder}/x.csv".split())
    assert isinstance(done.exception, InputError)
    assert "a channel has the name of a column that is to be written" in str(done.exception)

"""The table: what is gathered, worked on and put back is what stands in the columns, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core.table import Column, Table

COLUMNS = {
    "step": Column((), "int64", -1),
    "offset": Column((2, 3), init=np.nan),
    "open": Column((2,), "bool", init=False),
    "ring": Column((4,), init=0.5, apart=True),
    "state": Column((2, 3), "float32", (1.0, 2.0, 3.0)),
}


def table_of(rows: int) -> Table:
    """Make a table of so many rows, each with numbers of its own."""
    table = Table(COLUMNS)
    for row in range(rows):
        table.add_row()
        table["step"][row] = row
        table["offset"][row] = row + np.arange(6.0).reshape(2, 3) / 10
    return table


def test_new_rows_hold_the_initial_values_however_the_table_has_grown() -> None:
    """Growing keeps what is there; a new row begins with its columns' initial values."""
    table = table_of(37)
    assert table["step"].tolist() == list(range(37))
    row = table.row(table.add_row())
    assert row["step"] == -1
    assert np.isnan(row["offset"]).all()
    assert row["ring"].tolist() == [0.5] * 4
    assert row["state"].tolist() == [[1.0, 2.0, 3.0]] * 2
    assert not row["open"].any()


def test_work_shows_each_column_with_the_rows_last() -> None:
    """Rows come in the order that was asked for, and their values keep their types."""
    work = table_of(9).gather(np.array([7, 0, 3]))
    assert work["step"].tolist() == [7, 0, 3]
    assert work["step"].dtype == np.int64
    assert work["offset"].shape == (2, 3, 3)
    assert work["offset"][1, 2].tolist() == [7.5, 0.5, 3.5]


def test_put_writes_the_rows_of_the_work_and_no_others() -> None:
    """What is done to a work reaches the table with `put`, and only its own rows."""
    table = table_of(9)
    work = table.gather(np.array([7, 0, 3]))
    work["step"][...] += 100
    work["offset"][0, 1, 2] = np.inf
    assert table["step"].tolist() == list(range(9))
    work.put()
    assert table["step"].tolist() == [100, 1, 2, 103, 4, 5, 6, 107, 8]
    assert np.isinf(table["offset"][3, 0, 1])
    assert np.isinf(table["offset"]).sum() == 1


def test_reset_gives_rows_back_their_initial_values() -> None:
    """Named columns of the rows begin anew, the others stay."""
    table = table_of(5)
    table["state"][:] = 9
    table.reset(np.array([1, 4]), ("offset", "state"))
    assert np.isnan(table["offset"]).all(axis=(1, 2)).tolist() == [False, True, False, False, True]
    assert table["state"][:, 0, 2].tolist() == [9, 3, 9, 9, 3]
    assert table["step"].tolist() == list(range(5))


def test_columns_beside_each_other_are_views_of_one_matrix_that_grows() -> None:
    """Small columns of pairs keep their shapes and first values; what the matrix moves, they show."""
    beside = {
        "s.mean": Column((2, 1), "float32", beside="s."),
        "s.ring": Column((2, 1, 4), "float32", 0.5, apart=True),
        "s.count": Column((2, 3), "float32", (1.0, 2.0, 3.0), beside="s."),
    }
    table = Table(COLUMNS | beside)
    for row in range(9):
        table.add_row()
        table["s.mean"][row] = row
    assert table["s.count"].tolist() == [[[1, 2, 3]] * 2] * 9
    pairs = table.pairs("s.")
    assert [view.shape for view in pairs] == [(18, 1), (18, 1, 4), (18, 3)]
    assert [k for k, _ in pairs.wide] == [1]
    assert pairs.matrix[14].tolist() == [7, 1, 2, 3]
    pairs.matrix[15] = 4, 5, 6, 7
    assert table["s.mean"][7].tolist() == [[7], [4]]
    assert table["s.count"][7].tolist() == [[1, 2, 3], [5, 6, 7]]
    table.reset(np.array([7]), beside)
    assert pairs.matrix[14:16].tolist() == [[0, 1, 2, 3]] * 2


def test_a_work_that_is_put_back_is_used_again_and_two_at_a_time_are_apart() -> None:
    """Small works are recycled, each for one batch at a time; what was put stays put."""
    table = table_of(9)
    first, second = table.gather(np.array([1, 2])), table.gather(np.array([3, 4]))
    first["step"][...] = 10, 20
    second["step"][...] = 30, 40
    first.put()
    again = table.gather(np.array([5, 1]))
    assert again is first
    assert again["step"].tolist() == [5, 10]
    again["step"][...] = 50, 11
    second.put()
    again.put()
    assert table["step"].tolist() == [0, 11, 20, 30, 40, 50, 6, 7, 8]
    table.add_row()
    assert table.gather(np.array([9, 1]))["step"].tolist() == [-1, 11]


def test_another_array_in_the_place_of_a_view_is_refused() -> None:
    """It would be read until the next stream is new, and kept by nobody; what is written in place is kept."""
    table = table_of(3)
    work = table.gather(np.array([2, 0]))
    for views in (table, work):
        with pytest.raises(TypeError, match="in place"):
            views["step"] = np.zeros(len(views["step"]), np.int64)
    work["step"] += 5
    work.put()
    table["step"] += 1
    assert table["step"].tolist() == [6, 2, 8]

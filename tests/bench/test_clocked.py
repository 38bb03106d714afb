"""The clock of the stream bench: parts exclude each other, and sum up to all."""

from __future__ import annotations

from tests.bench.stream.clocked import REST, Clock, places


def test_clock_counts_time_where_it_is_spent() -> None:
    """A call within another takes its time from it, and gives it back whatever happens."""
    times = iter(range(100))
    clock = Clock(lambda: float(next(times)))

    def inner() -> None:
        next(times)
        raise ValueError

    def outer() -> str:
        next(times)
        try:
            clock.timed("inner", inner)()
        except ValueError:
            next(times)
        return "done"

    assert clock.timed("outer", outer)() == "done"
    clock.begin(REST)
    assert clock.spent_s == {REST: 2.0, "outer": 4.0, "inner": 2.0}


def test_all_that_the_clock_counts_is_there() -> None:
    """The daemon has the functions that it looks for."""
    assert [part for part, owner, name in places() if not callable(getattr(owner, name, None))] == []

"""What is refused because nothing could be measured by it, and what a search may take out."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.errors import InputError
from edgeseq_train.fit import Recording, split_rows
from edgeseq_train.lengths import check_measurable, check_parts
from edgeseq_train.recipe import Recipe
from edgeseq_train.tuning.study import task_of
from tests.train.conftest import HORIZON, HOUR_NS, make_series, small_recipe

SPLIT = split_rows(1000, Recipe().split)


def test_a_search_may_train_without_the_test_part() -> None:
    """What a search sees of a recording is refused for no part that was taken out of it on purpose."""
    recording = Recording(make_series(1000)[:, :, None], ("a", "b"), HOUR_NS)
    task = task_of(recording, HORIZON, small_recipe())
    assert np.isnan(task.recording.values[SPLIT.validation :]).all()
    check_parts(task.recording, SPLIT, HORIZON)


def test_a_recording_without_a_test_part_is_refused_where_it_is_to_be_measured() -> None:
    """Readings that end before the test part, beside known inputs that go on, leave nothing to measure by."""
    values = make_series(1000)[:, :, None]
    recording = Recording(values, ("a", "b"), HOUR_NS, start_ns=0)
    values[801:] = np.nan
    check_measurable(recording, SPLIT)
    values[800:] = np.nan
    with pytest.raises(InputError, match="the test part is empty") as raised:
        check_measurable(recording, SPLIT)
    assert raised.value.found == "no value in its 200 steps, from 1970-02-03T08:00:00Z on"
    assert "--until" in str(raised.value.do)

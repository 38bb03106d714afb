"""Training and device run the same arithmetic, because it exists once."""

from __future__ import annotations

import grimp
import pytest

SHARED = {
    "edgeseq.core.align": "the grid",
    "edgeseq.core.features": "anchor and unit",
    "edgeseq.core.network": "normaliser, ring, highway and quantiles",
    "edgeseq.core.cells": "the recurrent cell",
}


@pytest.mark.parametrize("module", SHARED)
def test_training_imports_from_core(module: str) -> None:
    """What makes tensors of readings, and quantiles of tensors, is imported by training from the core."""
    graph = grimp.build_graph("edgeseq", "edgeseq_train", cache_dir=None)
    importers = {name.split(".")[0] for name in graph.find_modules_that_directly_import(module)}
    assert "edgeseq_train" in importers, f"training has no use for {SHARED[module]} of the core"

"""What recordings come as, and what becomes of them: `edgeseq_train.recording` is the way in.

kinds → tables, homeassistant, influx → candidates (what there is) → choose → series (what was read) → grid.
"""

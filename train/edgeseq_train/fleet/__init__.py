"""Many trainings at once: in processes of this machine, or on the machines of a Ray cluster.

recording ─ series.part ─▶ one recording for each series ─ executor(task.train) ─▶ bundles ─ folder ─▶ files and index

An executor (`processes`, `on_ray`) runs a pure function on items, each as often as workers die under it; what it gives
is the same wherever it ran. Keys never leave this machine: workers give unsigned bundles, signed where they arrive.
"""

"""Look at what a broker carries, and propose a configuration for it.

observe.py    messages → what is known of topics and their numbers, bounded     recognise.py  topics → families
measure.py    cadence, resolution, season, gauge or counter                     filters.py    topics → wildcards
left_out.py   what becomes no stream, and why                                    templates.py  wildcards of families
propose.py    all of that → [[streams]] tables                                  write.py      tables → commented TOML

All of it is pure: `edgeseq.commands.scan` listens, and writes the file.
"""

"""How soon a bad canary is found, and how often a good one is taken for bad: detectors on simulated traffic.

`scenes` makes the traffic, `ours`, `parts` and `usual` are the detectors, `measure` runs them, `table` and `plot` show
what `results` keeps. numpy is needed to measure, not to draw: what draws imports nothing of what measures.
"""

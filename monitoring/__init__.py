"""Makes the Grafana dashboard, the alert rules and their files of one source: ``python -m monitoring``.

Developers' tooling, no part of the distribution. What a panel shows and when an alert fires is written in
`panels` and `alerts` as values; `dashboard` and `rules` turn these into Grafana's and Prometheus' files, `draw` into
the picture of the docs. A test keeps the files up to date, another one asks a real Prometheus every query.
"""

"""The Grafana dashboard, made from code.

In: the metrics' names. Out: `dashboards/hark.json`. Begin at `dashboard.py`.
"""

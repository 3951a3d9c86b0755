"""Assets: published tables as Dagster assets, with what runs around them: automation, reconciler, alerts, locations.

Put here what speaks Dagster. Keep out what a step does to files and catalogs (``lake``).
"""

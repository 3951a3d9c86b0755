"""Deployment: how runs become containers, what may be asked of the Docker engine, and what cleans up after them.

Put here what stands between Dagster and the machines. Keep out what runs compute, and anything about a domain.
"""

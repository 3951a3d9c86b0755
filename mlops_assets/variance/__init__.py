"""Variance over time: comparing two states of a table, splitting the change by cause, naming what happened.

Put here methods as pure functions from Ibis tables to Ibis tables that any domain can use alone. Keep out columns and
codes of a domain, any engine's SQL, files and orchestration.
"""

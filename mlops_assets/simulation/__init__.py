"""Simulated source systems of the voter domain, with known truth, for the demo, tests and benchmarks.

Put here what an election office, a census office or a returns archive would run. Keep out everything that reads from
those sources: a pipeline meets them only through files, HTTP and SQL.
"""

"""Contracts: what a table holds, as a pandera schema with all that the platform needs to know beside it.

Put here the declaration and its translation into rules and hashes. Keep out lakes and anything that runs a query.
"""

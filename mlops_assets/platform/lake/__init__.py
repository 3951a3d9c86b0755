"""The lakes: sessions, staged files, publishes, the ledger of publishes, and reading what was published.

Put here what touches catalogs and data files. Keep out judging rows (``audit``) and Dagster's steps (``assets``).
"""

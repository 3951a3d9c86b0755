"""SQL databases: one question in one snapshot, and the kind that asks it (``source``).

Put here what differs between databases. Keep out what becomes of the rows.
"""

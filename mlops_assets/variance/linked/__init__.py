"""Linked snapshots: the same entities before and after, and the change of counts split exactly by cause.

Put here what needs to know who an entity was before. Keep out panels, distributions of columns.
"""

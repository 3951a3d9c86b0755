"""Drift: how far the columns of one partition are from those of another, from mergeable summaries.

Put here summaries of columns and their comparison. Keep out why they differ.
"""

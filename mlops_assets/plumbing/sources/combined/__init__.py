"""Combining: several tables as one, by precedence.

Put here how rows of several sources become those of one table. Keep out how any of them is asked.
"""

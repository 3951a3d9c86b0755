"""Commands: a program whose output becomes a table.

Put here how it is run, watched and ended. Keep out what is in its output (``formats``).
"""

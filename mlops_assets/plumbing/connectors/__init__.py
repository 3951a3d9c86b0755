"""Connectors: how each source system is asked, read whole and refused when it is not.

Put here the transport and layout of one source per module. Keep out assets, schedules and any mending of values.
"""

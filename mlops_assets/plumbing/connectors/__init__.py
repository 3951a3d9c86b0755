"""Connectors: what answers and files of one source look like where no format says it, read whole or refused.

Put here one layout or transport per module. Keep out declarations, and any mending of values.
"""

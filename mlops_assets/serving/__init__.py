"""The REST service: authenticated, typed answers from the current exports of tables and models.

Put here what a client application meets. Keep out the lake and the orchestrator: a request reads verified
files and nothing else.
"""

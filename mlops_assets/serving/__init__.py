"""The REST service: authenticated, typed answers from the current export of predictions.

Put here what a client application meets. Keep out the lake, the orchestrator and models: a request reads one verified
file and nothing else.
"""

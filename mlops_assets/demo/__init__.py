"""The demonstration: simulated or real sources, through the very assets that production uses, to a served prediction.

Put here what only a demonstration needs. Keep out anything that a pipeline would miss.
"""

"""The assets of modeling: wiring of inputs, partitions and automation, one module per subject.

Put here what Dagster must know. Keep out training, evaluation and prediction themselves.
"""

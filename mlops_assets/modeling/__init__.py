"""Code location 3: models trained on the elections before, their honest evaluation, predictions, and their export.

Put here training, evaluation and prediction of the voter domain. Keep out scoring (shared with the service) and
features (wrangling makes them).
"""

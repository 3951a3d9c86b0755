"""Loading a verified model file and scoring with it, in batch and online alike.

Put here what training, batch prediction and the service must do in exactly the same way. Keep out training, tables of
the domain and anything that reads a lake.
"""

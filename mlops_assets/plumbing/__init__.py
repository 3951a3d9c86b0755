"""Code location 1: raw extracts of the source systems, with their schedules and sensors.

Put here what fetches a source and publishes it as it arrived. Keep out cleaning, mapping and anything that changes a
value.
"""

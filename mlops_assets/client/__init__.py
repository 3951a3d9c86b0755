"""What a generated client of the service is used with: a connection that renews tokens and tries again, and pages.

The client itself is generated from the service's OpenAPI document (``mlops-assets client FOLDER``). Put here what a
generator does not give. Keep out the platform: this package imports nothing of ours, so that it can be copied or
packaged alone (it needs httpx and tenacity).
"""

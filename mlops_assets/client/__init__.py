"""A client of the service, for Python applications: typed answers, pages, retries, problems as exceptions.

Put here what an application needs that asks the service. Keep out everything of the platform: this package imports
nothing of ours, so that it can be copied or packaged alone (it needs httpx and msgspec).
"""

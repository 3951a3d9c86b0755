"""Tests of the deployment, on a real Docker engine where one answers."""

"""Tests of the deployment as a whole, on a real Docker engine where one answers."""

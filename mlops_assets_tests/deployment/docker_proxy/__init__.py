"""Tests of the policy proxy."""

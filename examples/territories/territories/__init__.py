"""Territories: customers of a company, the sales territories that they live in, and what changes in them."""

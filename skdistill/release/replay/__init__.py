"""Releases through a ledger: known rows are given out again, the rest is charged and measured."""

"""Strategies that choose what a user sees: one file each, one shared protocol."""

"""Simulated users and their Gymnasium environments."""

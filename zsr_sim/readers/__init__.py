"""Causal language models in the loop: they answer in the users' place, and write texts for items that have none."""

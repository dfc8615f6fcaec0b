"""Candidates: sequences written by the GAN or retrieved, and the training of the GAN."""

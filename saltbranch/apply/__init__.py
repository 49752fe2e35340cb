"""Applying what a saltenv serves to its minions, in batches."""

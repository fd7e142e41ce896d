"""Whole root file systems: what imagescan says of every file against what the real loader says."""

"""Recipes of broken and sound images: demo, documentation and end-to-end test at once."""

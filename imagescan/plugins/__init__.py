"""Code that no program needs by name: which programs open it, and which of it sleeps in this image.

ELF files, link maps and the platform enter; what happens when a host opens a plugin, and the files that are
never meant to run here, leave. Follows ``loader.md`` section 10.
"""

"""How the container starts: the chain from ENTRYPOINT to a program, and the tier of every object.

The image's config, the file system and the link maps enter; ``StartupChain`` and ``Tier`` leave.
"""

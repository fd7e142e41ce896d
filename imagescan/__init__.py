"""imagescan: will everything in this container image start?"""

__version__ = "0.1.0"

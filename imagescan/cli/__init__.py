"""The command line: words, environment and configuration file enter, text and an exit code leave.

A door without logic of its own: it asks ``imagescan.scan`` and shows what ``reports`` make of it.
"""

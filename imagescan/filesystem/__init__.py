"""From layer indexes to the file system that a container would see."""

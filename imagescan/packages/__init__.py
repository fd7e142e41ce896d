"""Which package of the image's own databases each file belongs to."""

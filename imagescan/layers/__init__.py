"""From a layer's bytes to its index: verify, inflate, walk the tar, look into the files."""

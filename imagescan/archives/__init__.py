"""Native code inside archives: ZIP files as they lie in layers enter, facts of what is in them leave."""

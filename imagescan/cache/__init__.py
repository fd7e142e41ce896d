"""What earlier scans found out, kept on the user's disk by the digest of what was looked at.

Values of the rooms below enter (``LayerIndex``, and whole answers), and the same values leave, in this
process or a later one. Only digests that were computed here are keys. Nothing fails because of the
cache: what cannot be kept is not kept, what is damaged is dropped and made anew.
"""

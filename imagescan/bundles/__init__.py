"""Native code that is shipped in several builds: in archives, in directories, in wheels.

The image's files, the documents on loaders of native code and the hosts enter; the build that a host would
take and what it lacks, or the bundle of which it can take nothing, leave.
"""

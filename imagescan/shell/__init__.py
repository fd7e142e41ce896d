"""Shell scripts, read without running them.

The text of a script and what is known of its surroundings enter; the commands that it starts leave, each
with how certain it is. Follows POSIX XCU chapter 2 and the few words of bash that images' scripts use.
"""

"""What the dynamic loader would do, without running anything."""

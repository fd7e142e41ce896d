"""Where images come from: one module for each origin behind one protocol (``values.ImageSource``)."""

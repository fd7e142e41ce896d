"""One module for each format: frozen values enter, text leaves. Nothing here reads an image."""

"""Which network a folder gets, measured on its own images: held-out images of some classes, and
classes that are left out."""

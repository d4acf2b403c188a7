"""Models behind HTTP: from the bytes of pictures to verdicts as JSON."""

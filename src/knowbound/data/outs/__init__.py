"""Out-of-distribution images that need no folder: noise, patches of photographs, composed
images."""

"""Sources of images, one file per format on disk, and the split that gives them roles."""

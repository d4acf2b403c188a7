"""What a model's folder says of itself, read without torch."""

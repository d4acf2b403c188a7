"""Published data sets in their official files -> Sources."""

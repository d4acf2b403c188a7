"""Tables 2 and 4, Figures 2 and 3: traffic signs."""

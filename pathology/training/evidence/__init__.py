"""What a model is worth: figures with intervals, the card, and the runs that prove it."""

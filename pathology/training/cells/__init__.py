"""The training of cell networks: what a batch is, and what is wrong with an answer."""

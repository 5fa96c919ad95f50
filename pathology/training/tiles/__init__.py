"""The training of tile networks: from scored patches and labelled synthetic tiles."""

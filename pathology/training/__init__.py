"""Training: synthetic fields in, model bundle with its card out; import the modules themselves.

``samples`` renders and augments, ``losses`` says what is taught, ``loop`` optimises, ``measure``
reads fields that training never saw, ``card`` writes them down, ``run`` does all of it.
"""

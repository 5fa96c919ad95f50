"""Training: examples in, model bundle with its card out; import the modules themselves.

``config`` and ``specs`` hold the settings, ``run`` does it all. Below it, imports run one way:
``cells`` and ``tiles`` are the two tasks, ``evidence`` measures and writes the card, ``data`` gives
examples, ``engine`` optimises whatever it is given.
"""

"""Training: examples in, model bundle with its card out; import the modules themselves.

``config`` and ``specs`` hold the settings. ``task`` is what the loop knows of what it trains;
``cell_task`` and ``tile_task`` implement it. ``sources``, ``loading`` and ``patches`` give
examples, ``augment`` their views, ``stream`` their order. ``loop`` optimises, ``distributed`` over
several processes, ``state`` and ``checkpoint`` let it go on where it stopped, ``journal`` tells.
``measure`` and ``figures`` read fields that training never saw, ``card`` writes them down, ``run``
does it all.
"""

"""The loop that optimises, and what it knows of what it trains.

``task`` is the interface; ``stream`` gives the order of examples, ``loop`` the steps,
``distributed`` several processes; ``state`` and ``checkpoint`` let a training go on where it
stopped, and ``journal`` tells how it goes.
"""

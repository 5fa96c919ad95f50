"""Examples: synthetic fields, people's annotations and patches, and their views.

``samples`` is what every source gives; ``sources`` renders synthetic fields, ``loading`` and
``patches`` read what people drew, ``split`` keeps patients apart, ``augment`` changes views.
"""

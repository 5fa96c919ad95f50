"""Agreement between readers, and of results with readers: tables, kappas, intervals. Pure."""

__all__: list[str] = []

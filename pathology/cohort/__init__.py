"""Cohorts: who was selected, how arms are drawn, survival and cut-off studies. Pure."""

__all__: list[str] = []

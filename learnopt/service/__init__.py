"""The control room as a service: measurements in, proposals out, reviewed by people, every step recorded.

Nothing here writes to a plant: a step that is released is a sentence to a person, or to an adapter of the company.
"""

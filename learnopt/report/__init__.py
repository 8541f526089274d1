"""Answers for people: text, page and figure of each study, a drawing kit of one-line diagrams below them.

Import from the modules: ``configuration.text`` needs no matplotlib, so ``solve --json`` starts fast.
"""

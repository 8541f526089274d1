"""Pictures, HTML page, terminal table, JSON answer and switching plan of a result.

Import from the modules: ``text`` needs neither matplotlib nor plotly, so that ``solve --json`` starts fast.
"""

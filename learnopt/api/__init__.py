"""The front door: what the package answers from Python, and what the command line prints.

A function per question, each an attribute of ``learnopt`` itself, loaded when it is first used: planning needs solvers
that solving does without. Each returns an :class:`~learnopt.api.answer.Answer`, which keeps question and answer
together and shows itself.
"""

"""The optimisation models, and the only place where Pyomo expressions are written.

======================================  ==================================================================
:mod:`learnopt.formulations.arcs`       which arcs exist, seen from the block structure
:mod:`learnopt.formulations.bounds`     every constant of the models, each with its proof
:mod:`learnopt.formulations.distflow`   directed perspective DistFlow: relaxation whose bound holds for AC
:mod:`learnopt.formulations.controls`  taps, capacitor banks and generators in that model
:mod:`learnopt.formulations.cuts`       rows added between solves, for solvers that Pyomo drives
:mod:`learnopt.formulations.elastic`    limits that give, for what to say when nothing respects them
:mod:`learnopt.formulations.exported`   AC reconfiguration itself, for users of Pyomo
======================================  ==================================================================
"""

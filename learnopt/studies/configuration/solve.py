"""One door to every engine: by name, or chosen by a rule that says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.compiling import everything_compiled
from learnopt.engines import Engine, SolveOptions, load_engine
from learnopt.engines.enumeration import count_configurations
from learnopt.errors import UnsupportedError
from learnopt.io import network_from_dict
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result
from learnopt.network.loop_reduction import without_fixed_loops

AUTO, TREE, MILP, ENUMERATE = "auto", "tree", "milp", "enumerate"
MANY_LOOPS = 25
"""More loops than this take the MILP minutes to hours."""
MIXED_GAP = 0.005
"""Gap that ``auto`` proves by the tree search with mixed signs on many loops, where none is asked for."""
FEW_STATES, FEW_BUSES = 50_000, 4e6
"""So many states, and buses in all of them together, are gone through in seconds."""
FEW_NODES = 1000
"""Nodes of the decisions beyond which states are not counted: the determinant takes longer than most proofs."""
SMALL_GENERATION = 0.05
"""Share of generation in the load up to which that bound is tight enough for it."""


def few_states(problem: ReconfigurationProblem) -> bool:
    """All states of a problem of one scenario can be gone through in seconds."""
    if problem.controls or len(problem.situations) > 1 or problem.core.n_nodes > FEW_NODES:
        return False
    return count_configurations(problem) <= min(FEW_STATES, FEW_BUSES / problem.network.n_bus)


def choose_engine(problem: ReconfigurationProblem, options: SolveOptions) -> tuple[str, SolveOptions, str]:
    """The engine that ``auto`` takes, its options, and the reason in a sentence."""
    from learnopt.engines.tree.coverage import ac_obstacles, tight_obstacles

    if problem.controls:
        return "milp", replace(options, certify=Certificate.AC), "it sets controls together with the switches"
    looped = without_fixed_loops(problem) is None  # the MILP knows radial states only
    several = len(problem.situations) > 1
    if options.certify is Certificate.MODEL:
        return "tree", options, "a model certificate was asked for"
    if options.certify is Certificate.NONE and not several:
        return "exchange", options, "no proof was asked for"
    if several and (options.certify is Certificate.NONE or (obstacles := tight_obstacles(problem))):
        if options.certify is Certificate.AC and not looped:
            return "milp", options, f"the tight AC bound of the tree search does not cover {obstacles[0]}"
        advice = " (ask for the AC certificate to have it)" if options.certify is None and not looped else ""
        model = replace(options, certify=Certificate.MODEL)
        return "tree", model, f"its model takes several scenarios at once, a proof by the MILP takes long{advice}"
    proving = replace(options, certify=Certificate.AC)
    if obstacles := tight_obstacles(problem):
        reason = f"the tight AC bound of the tree search does not cover {obstacles[0]}"
        if few_states(problem):
            return ENUMERATE, proving, f"{reason}, and there are few states"
        if looped:
            return "tree", replace(options, certify=Certificate.MODEL), f"no AC bound covers {obstacles[0]}"
        asked = options.certify is Certificate.AC or options.time_limit is not None
        if problem.network.n_loops > MANY_LOOPS and not ac_obstacles(problem):
            load, generation = float(np.maximum(problem.p, 0).sum()), float(np.maximum(-problem.p, 0).sum())
            if generation <= SMALL_GENERATION * load:
                gap = MIXED_GAP if options.gap is None else options.gap
                why = f"its bound for mixed signs proves a gap of {gap:g} where the MILP takes long ({obstacles[0]})"
                return "tree", replace(proving, gap=gap), why
        if problem.network.n_loops > MANY_LOOPS and not asked:
            model = replace(options, certify=Certificate.MODEL)
            return "tree", model, f"{reason}, and the MILP needs a time limit here (or ask for the AC certificate)"
        return "milp", proving, reason
    return "tree", proving, "loads only and no line charging, so the AC bound of the tree search covers it"


def solve(
    problem: ReconfigurationProblem,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    k_best: int = 1,
) -> Result:
    """Solve a problem.

    Parameters
    ----------
    engine
        ``auto``, a name of :func:`~learnopt.engines.engine_names`, or an engine itself.
    k_best
        More than one: prove that many best configurations (tree search only).

    Raises
    ------
    DataError
        If there is no engine of this name.
    UnsupportedError
        If the engine does not serve this problem.
    """
    options = options or SolveOptions()
    if k_best != 1:
        return _tree(engine, "a ranking of configurations", k_best).solve(
            problem, _tree_options(problem, engine, options), start
        )
    if engine == AUTO:
        name, options, reason = choose_engine(problem, options)
        result = load_engine(name).solve(problem, options, start)
        return replace(result, message=f"auto chose {name}: {reason}. {result.message}".strip())
    return (load_engine(engine) if isinstance(engine, str) else engine).solve(problem, options, start)


def front(
    problem: ReconfigurationProblem,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
) -> list[Result]:
    """Least loss for every number of operations, each proven by the tree search.

    Raises
    ------
    UnsupportedError
        If another engine is named.
    """
    from learnopt.studies.configuration.pareto import pareto_front

    options = _tree_options(problem, engine, options or SolveOptions())
    return list(pareto_front(problem, _tree(engine, "a front of loss against operations"), options, start))


def _tree(engine: str | Engine, wish: str, k_best: int = 1) -> Engine:
    """The tree search, for what only it serves."""
    from learnopt.engines.tree.engine import TreeSearchEngine

    if engine not in (AUTO, TREE):
        name = engine if isinstance(engine, str) else engine.name
        raise UnsupportedError(f"{wish} is served by the tree search, not by {name!r}", {"engine": TREE})
    return TreeSearchEngine(k_best=k_best)


def _tree_options(problem: ReconfigurationProblem, engine: str | Engine, options: SolveOptions) -> SolveOptions:
    """For ``auto`` without a certificate asked for, the best that the tree search can give."""
    from learnopt.engines.tree.coverage import tight_obstacles

    if engine != AUTO or options.certify is not None:
        return options
    return replace(options, certify=Certificate.MODEL if tight_obstacles(problem) else Certificate.AC)


def warm_up(engine: str | Engine, options: SolveOptions, n_loops: int = 0) -> None:
    """Import and compile everything a solve needs, on a feeder of three buses, so that its time is its own.

    Parameters
    ----------
    n_loops
        Loops of the problem to come: many of them may take the long search, which small problems never compile.
    """
    with everything_compiled():
        import_engine(engine, options)
        if n_loops > MANY_LOOPS and (not isinstance(engine, str) or engine in (AUTO, TREE)):
            from learnopt.engines.tree.engine import compile_long_search

            compile_long_search(_three_buses())


def import_engine(engine: str | Engine, options: SolveOptions) -> None:
    """Import what a solve needs; what it compiles is compiled when that pays, and no part of its time."""
    solve(_three_buses(), engine, options)


def _three_buses() -> ReconfigurationProblem:
    ends = (("S", "A"), ("A", "B"), ("B", "S"))
    network = network_from_dict(
        {
            "name": "warm-up",
            "base_kv": 10.0,
            "substations": ["S"],
            "buses": [{"id": "S"}, {"id": "A", "p_kw": 100.0}, {"id": "B", "p_kw": 100.0}],
            "branches": [
                {"id": k, "from": a, "to": b, "r_ohm": 1.0, "x_ohm": 1.0, "normally_open": k == 1}
                for k, (a, b) in enumerate(ends)
            ],
        },
        "warm-up",
    )
    return ReconfigurationProblem.of(network)

r"""AC optimal power flow of a given topology by interior points, with slacks: the slave problem of the Benders engine.

Polar power flow equations on all usable branches, the admittance of each multiplied by its state :math:`w_e`, so that
the multiplier of :math:`w_e = W_e` says what closing or opening it would do to first order. Continuous taps and the
injections of running generators are free, steps of capacitors and on/off states are given like the topology. Slacks
:math:`\ge 0` on both power balances and on branch limits make every master solution feasible at a price:

.. math:: \min\ \alpha = \sum_n (\bar P_n + \bar Q_n) + \sum_e \bar S_e \qquad\text{or}\qquad \min\ \text{loss}
    \text{ with all slacks zero.}

The problem is not convex: IPOPT gives a local optimum, and its multipliers are sensitivities, not bounds.

References
----------
Khodr, Martinez-Crespo, Vale, Ramos, *Optimal methodology for distribution systems reconfiguration based on OPF and
solved by decomposition technique*, eq. (8)-(16), (19)-(23). Solver: Waechter & Biegler (2006),
doi:10.1007/s10107-004-0559-y.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.formulations.controls import rated
from learnopt.network import Configuration, Controls, Floats, ReconfigurationProblem, Settings
from learnopt.physics import power_flow

COUPLER = 1e-6
"""Reactance that stands in for a branch without impedance [pu]."""
FEASIBLE = 1e-6
"""Sum of slacks below which a topology counts as feasible [pu]."""


@dataclass(frozen=True)
class OpfRun:
    """Outcome of one optimal power flow.

    Parameters
    ----------
    converged
        IPOPT found a local optimum.
    infeasibility
        Sum of slacks, the alpha of the seed [pu].
    loss
        Active loss [pu].
    settings
        All controls, the discrete ones as given.
    branch_sensitivity, capacitor_sensitivity, generator_sensitivity
        Change of alpha [pu] per unit of a branch's state, shape (n_branch,), per pu of connected capacitor, shape
        (n_capacitor,), per unit of a generator's state, shape (n_generator,); zeros where the loss was minimised.
    """

    converged: bool
    infeasibility: float
    loss: float
    settings: Settings
    branch_sensitivity: Floats
    capacitor_sensitivity: Floats
    generator_sensitivity: Floats


def _casadi() -> Any:
    try:
        import casadi
    except ImportError:
        raise UnsupportedError(
            "engine 'benders' needs an NLP solver: pip install 'learnopt[benders]' (CasADi, whose wheel holds IPOPT)"
        ) from None
    return casadi


_Row = tuple[Any, float, float]
"""A constraint: expression, least and largest value."""


def _branch_powers(
    problem: ReconfigurationProblem, e: int, u: Any, v: Any, angle: tuple[Any, Any]
) -> tuple[Any, Any, Any, Any]:
    """Active and reactive power into a closed branch at its from end and at its to end [pu].

    Parameters
    ----------
    u, v
        Voltage behind the ratio at the from end, and at the to end.
    angle
        Cosine and sine of the angle between them.
    """
    net, (c, s) = problem.network, angle
    r, x = float(net.r[e]), float(net.x[e])
    if math.hypot(r, x) < COUPLER:
        x = COUPLER
    g, b = r / (r**2 + x**2), -x / (r**2 + x**2)
    gs, bs = float(net.g[e]) / 2, float(problem.b[e]) / 2
    return (
        u**2 * (g + gs) - u * v * (g * c + b * s),
        -(u**2) * (b + bs) - u * v * (g * s - b * c),
        v**2 * (g + gs) - u * v * (g * c - b * s),
        -(v**2) * (b + bs) - u * v * (-g * s - b * c),
    )


def _generator_rows(controls: Controls, part: Mapping[str, Any]) -> Iterator[_Row]:
    """What generators may inject: their span where they are on, their rating, their least power factor."""
    for j, generator in enumerate(controls.generators):
        p, q, on = part["pg"][j], part["qg"][j], part["on"][j]
        p_min, p_max, q_min, q_max = generator.span if generator.available else generator.reach
        for power, least, most in ((p, p_min, p_max), (q, q_min, q_max)):
            yield power - most * on, -math.inf, 0.0
            yield power - least * on, 0.0, math.inf
        if rated(generator):
            yield p**2 + q**2 - generator.s_max**2 * on, -math.inf, 0.0
        if (tangent := generator.tangent) is not None:
            yield q - tangent * p, 0.0, 0.0


class AcOpf:
    """Optimal power flow of one problem, compiled once for every topology and every discrete setting.

    Raises
    ------
    UnsupportedError
        If CasADi is not installed.
    """

    def __init__(self, problem: ReconfigurationProblem) -> None:
        ca = _casadi()
        self.problem = problem
        net, controls = problem.network, problem.controls
        self._branches = np.flatnonzero(problem.usable)
        n, m = net.n_bus, len(self._branches)
        self._row = {int(e): i for i, e in enumerate(self._branches)}
        continuous = [k for k, tap in enumerate(controls.taps) if tap.positions is None]
        self._continuous = continuous
        names = {
            "vm": n, "va": n, "tap": len(continuous), "pg": len(controls.generators), "qg": len(controls.generators),
            "w": m, "bank": len(controls.capacitors), "on": len(controls.generators),
            "p_short": n, "p_excess": n, "q_short": n, "q_excess": n, "overload": m,
        }  # fmt: skip
        self._slices, start = {}, 0
        for name, size in names.items():
            self._slices[name] = slice(start, start + size)
            start += size
        self._size = start
        x = ca.SX.sym("x", start)
        part = {name: x[span] for name, span in self._slices.items()}
        given = ca.SX.sym("given", m + len(controls.capacitors) + len(controls.generators))
        fixed_taps = ca.SX.sym("fixed_taps", len(controls.taps))
        weight = ca.SX.sym("weight", 2)  # of the slacks and of the loss

        ratio = [ca.SX(float(net.ratio[e])) for e in self._branches]
        for k, tap in enumerate(controls.taps):
            if tap.branch in self._row:
                gain = part["tap"][continuous.index(k)] if k in continuous else fixed_taps[k]
                ratio[self._row[tap.branch]] = 1 / gain
        p_out, q_out = [ca.SX(0.0)] * n, [ca.SX(0.0)] * n
        loss, rows = ca.SX(0.0), list[_Row]()
        for i, e in enumerate(self._branches):
            f, t = int(net.from_bus[e]), int(net.to_bus[e])
            near, v, angle = part["vm"][f], part["vm"][t], part["va"][f] - part["va"][t]
            powers = _branch_powers(problem, int(e), near / ratio[i], v, (ca.cos(angle), ca.sin(angle)))
            p_ft, q_ft, p_tf, q_tf = (part["w"][i] * power for power in powers)
            p_out[f], q_out[f] = p_out[f] + p_ft, q_out[f] + q_ft
            p_out[t], q_out[t] = p_out[t] + p_tf, q_out[t] + q_tf
            loss += p_ft + p_tf
            if math.isfinite(problem.i_max[e]):
                for p, q, vm in ((p_ft, q_ft, near), (p_tf, q_tf, v)):
                    squared = (p**2 + q**2) / vm**2 - part["overload"][i]
                    rows.append((squared, -math.inf, float(problem.i_max[e]) ** 2))
        root = {int(k): s for s, k in enumerate(net.substations)}
        for k in range(n):
            p, q = ca.SX(float(problem.p[k])), ca.SX(float(problem.q[k]))
            for j, generator in enumerate(controls.generators):
                if generator.bus == k:
                    p, q = p - part["pg"][j], q - part["qg"][j]
            square = part["vm"][k] ** 2
            p = p + float(net.g_shunt[k]) * square
            q = q - float(net.b_shunt[k]) * square
            for j, bank in enumerate(controls.capacitors):
                if bank.bus == k:
                    q = q - part["bank"][j] * square
            if k in root:
                drawn = (p_out[k] + p) ** 2 + (q_out[k] + q) ** 2
                s_min, s_max = float(problem.s_min[root[k]]), float(problem.s_max[root[k]])
                if s_min > 0 or math.isfinite(s_max):
                    rows.append((drawn, s_min**2, s_max**2))
                continue
            rows.append((p_out[k] + p - part["p_short"][k] + part["p_excess"][k], 0.0, 0.0))
            rows.append((q_out[k] + q - part["q_short"][k] + part["q_excess"][k], 0.0, 0.0))
        rows += _generator_rows(controls, part)
        fixed = ca.vertcat(part["w"], part["bank"], part["on"])
        self._given = slice(len(rows), len(rows) + int(fixed.shape[0]))
        rows += [(fixed[i] - given[i], 0.0, 0.0) for i in range(fixed.shape[0])]
        slack = sum(
            (ca.sum1(part[name]) for name in ("p_short", "p_excess", "q_short", "q_excess", "overload")), ca.SX(0.0)
        )
        self._functions = ca.Function("figures", [x, fixed_taps], [slack, loss])
        nlp = {
            "x": x,
            "p": ca.vertcat(given, fixed_taps, weight),
            "f": weight[0] * slack + weight[1] * loss,
            "g": ca.vertcat(*(row for row, _, _ in rows)),
        }
        options = {
            "print_time": False,
            "ipopt": {"print_level": 0, "sb": "yes", "max_iter": 300, "tol": 1e-9, "bound_relax_factor": 0.0},
        }
        self._solver = ca.nlpsol("slave", "ipopt", nlp, options)
        self._low, self._high = np.array([(low, high) for _, low, high in rows]).T

    def solve(
        self, configuration: Configuration, settings: Settings | None = None, minimise_loss: bool = False
    ) -> OpfRun:
        """Optimal power flow with the topology and the discrete controls of ``settings`` given.

        Parameters
        ----------
        minimise_loss
            Least loss with all slacks zero, instead of least slacks.
        """
        problem, controls = self.problem, self.problem.controls
        settings = settings or controls.neutral
        net = problem.network
        low, high = np.full(self._size, -math.inf), np.full(self._size, math.inf)
        start = np.zeros(self._size)
        flow = power_flow(problem.applied(settings), configuration)
        voltage = flow.v if flow.converged else np.full(net.n_bus, float(net.substation_vm.mean()), dtype=complex)
        at = self._slices
        start[at["vm"]], start[at["va"]] = np.abs(voltage), np.angle(voltage)
        low[at["vm"]] = np.where(problem.vm_min > 0, problem.vm_min, 0.3)
        high[at["vm"]] = np.where(problem.vm_max < np.inf, problem.vm_max, 2.0)
        roots = at["vm"].start + net.substations
        low[roots] = high[roots] = start[roots] = net.substation_vm
        roots = at["va"].start + net.substations
        low[roots] = high[roots] = start[roots] = 0.0
        for i, k in enumerate(self._continuous):
            tap = controls.taps[k]
            place = at["tap"].start + i
            low[place], high[place], start[place] = tap.low, tap.high, settings.taps[k]
        start[at["pg"]] = [p for p, _ in settings.generators]
        start[at["qg"]] = [q for _, q in settings.generators]
        given = np.concatenate([configuration.closed[self._branches], settings.capacitors, settings.on]).astype(float)
        for name in ("w", "bank", "on"):
            start[at[name]] = given[at[name].start - at["w"].start : at[name].stop - at["w"].start]
        for name in ("p_short", "p_excess", "q_short", "q_excess", "overload"):
            low[at[name]], high[at[name]] = 0.0, 0.0 if minimise_loss else math.inf
        answer = self._solver(
            x0=start,
            p=np.concatenate([given, settings.taps, [0.0, 1.0] if minimise_loss else [1.0, 0.0]]),
            lbx=low,
            ubx=high,
            lbg=self._low,
            ubg=self._high,
        )
        x = np.array(answer["x"]).ravel()
        slack, loss = (float(v) for v in self._functions(x, np.array(settings.taps)))
        # The Lagrangian is f + lam g: the optimum grows by -lam with the right-hand side of a fixing.
        sensitivity = -np.array(answer["lam_g"]).ravel()[self._given]
        branch = np.zeros(net.n_branch)
        branch[self._branches] = sensitivity[: len(self._branches)]
        banks = len(self._branches) + len(controls.capacitors)
        return OpfRun(
            converged=bool(self._solver.stats()["success"]),
            infeasibility=slack,
            loss=loss,
            settings=self._settings(x, settings),
            branch_sensitivity=branch,
            capacitor_sensitivity=sensitivity[len(self._branches) : banks],
            generator_sensitivity=sensitivity[banks:],
        )

    def _settings(self, x: Floats, given: Settings) -> Settings:
        controls, at = self.problem.controls, self._slices
        taps = list(given.taps)
        for i, k in enumerate(self._continuous):
            taps[k] = float(np.clip(x[at["tap"]][i], controls.taps[k].low, controls.taps[k].high))
        generators = tuple(
            g.nearest(float(p), float(q)) if on else (0.0, 0.0)
            for g, p, q, on in zip(controls.generators, x[at["pg"]], x[at["qg"]], given.on, strict=True)
        )
        return Settings(tuple(taps), given.capacitors, generators, given.on)


def available() -> bool:
    """CasADi is installed."""
    try:
        _casadi()
    except UnsupportedError:
        return False
    return True

"""Draw the pictures of README.md: the 33-bus system before and after reconfiguration, from a proven optimum."""

from pathlib import Path

from learnopt.engines import SolveOptions, load_engine
from learnopt.io import load
from learnopt.network import Certificate, ReconfigurationProblem
from learnopt.report.drawing.files import write_diagram

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Solve and draw."""
    network = load("case33")
    problem = ReconfigurationProblem.of(network)
    result = load_engine("tree").solve(problem, SolveOptions(certify=Certificate.AC))
    assert result.configuration is not None
    path = IMAGES / "case33.png"
    write_diagram(path, problem, result.configuration, result.evaluation, network.normal_configuration)
    print(f"{path}: {result.loss_kw:.2f} kW, certificate {result.certificate}")


if __name__ == "__main__":
    main()
